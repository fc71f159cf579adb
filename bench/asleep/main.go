// asleep says so, and sleeps for an hour.
package main

import (
	"fmt"
	"time"
)

func main() {
	fmt.Println("asleep")
	time.Sleep(time.Hour)
}
