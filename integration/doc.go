// Package integration tests the program as its users run it: real servers, the
// real binary, real kills. It has no code of its own.
package integration
