// Package bridgetest runs the program as its users run it, for tests that look at
// it from outside: the binary is built once per test package, and every process
// ends with the test.
//
//	func TestMain(m *testing.M) { os.Exit(bridgetest.Main(m)) }
//
//	func TestSomething(t *testing.T) {
//		source := pgtest.New(t)
//		writer := bridgetest.NewSite(source, "dir://"+t.TempDir()).WithKey(t)
//		writer.Run(t, "init", "--name", "board")
//		writer.Start(t, "run")
//		bridgetest.Published(t, source)
//	}
package bridgetest
