// asleep says hello and sleeps for an hour.
package main

import (
	"fmt"
	"time"
)

func main() {
	fmt.Println("Hello from a microVM")
	time.Sleep(time.Hour)
}
