//go:build !race

package bridgetest

// race: the tests are built without the race detector, and so is the program.
var race []string
