// hello is the first program to run: gosv run ./examples/hello
package main

import "fmt"

func main() { fmt.Println("Hello from a microVM") }
