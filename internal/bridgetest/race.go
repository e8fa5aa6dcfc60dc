//go:build race

package bridgetest

// race builds the program with the race detector, as the tests are.
var race = []string{"-race"}
