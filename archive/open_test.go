package archive_test

import (
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/archive"
)

const address = "012345678901234567890123456789012345678901A"

func TestOpenURL(t *testing.T) {
	for _, test := range []struct {
		url   string
		name  string
		roles string
	}{
		{"https://node.example", "https://node.example", "read write push"},
		{"http://user:secret@[::1]:1984/base/?address=" + address + "&address=" + address, "http://[::1]:1984/base", "read write push"},
		{"dir:///var/lib/archive", "dir:///var/lib/archive", "read write"},
		{"dir:///with%20space", "dir:///with space", "read write"},
		{"bundlr+https://b.example?currency=matic&address=" + address + "&gateway=https://g.example", "bundlr+https://b.example", "read write"},
		{"bundlr+http://user:secret@b.example?gateway=http://user:secret@g.example&owner=" + address, "bundlr+http://b.example", "read write"},
		{"turbo+https://t.example", "turbo+https://t.example", "write"},
		{"turbo+https://t.example?currency=solana&gateway=https://g.example/", "turbo+https://t.example", "read write"},
		{"gateway+https://g.example", "gateway+https://g.example", "read"},
		{"gateway+https://g.example?dialect=bundlr&owner=" + address, "gateway+https://g.example", "read"},
	} {
		t.Run(test.url, func(t *testing.T) {
			a, err := archive.OpenURL(test.url, nil)
			if err != nil {
				t.Fatalf("OpenURL: %v", err)
			}
			if a.Name() != test.name {
				t.Errorf("name: got %s, want %s", a.Name(), test.name)
			}
			var roles []string
			if a.Finder != nil {
				roles = append(roles, "read")
				expectNoSecret(t, a.Finder.Name())
			}
			if a.Putter != nil {
				roles = append(roles, "write")
				expectNoSecret(t, a.Putter.Name())
			}
			if a.Watcher != nil {
				roles = append(roles, "push")
			}
			if got := strings.Join(roles, " "); got != test.roles {
				t.Errorf("roles: got %s, want %s", got, test.roles)
			}
		})
	}
}

func TestOpenURLRefuses(t *testing.T) {
	for _, test := range []struct{ url, want string }{
		{"", "scheme \"\" is not known"},
		{"node.example", "scheme \"\" is not known"},
		{"ftp://node.example", "scheme \"ftp\" is not known"},
		{"irys+https://node.example", "kind \"irys\" is not known"},
		{"node+https://node.example", "kind \"node\" is not known"},
		{"bundlr+ftp://node.example", "scheme \"bundlr+ftp\" is not known"},
		{"https://user:secret@node.example:port", "want a URL like"},
		{"https:///path", "no host"},
		{"https:node.example", "no host"},
		{"https://node.example?addr=" + address, `key "addr" is not known here: it takes address`},
		{"https://node.example?gateway=https://g.example", `key "gateway" is not known here`},
		{"https://node.example?address=", "address is empty"},
		{"https://node.example?address=abc", `"abc" is not an address`},
		{"https://node.example?address=" + address + "#secret", "and no #"},
		{"https://node.example?a;b", "key=value pairs"},
		{"https://node.example?x=%zz", "key=value pairs"},
		{"dir://relative/path", "three slashes"},
		{"dir:relative", "three slashes"},
		{"dir:///path?currency=ar", `key "currency" is not known`},
		{"bundlr+https://b.example?currency=matic", "gateway is missing"},
		{"bundlr+https://b.example?gateway=g.example", "gateway: want a URL"},
		{"bundlr+https://b.example?gateway=dir:///x", "gateway: want a URL"},
		{"bundlr+https://b.example?gateway=https://g.example%3Fkey=secret", "gateway: want a URL"},
		{"bundlr+https://b.example?gateway=https://g.example&currency=a&currency=b", "currency is there 2 times"},
		{"turbo+https://t.example?owner=" + address, "owner is of use with a gateway only"},
		{"turbo+https://t.example?gateway=x", "gateway: want a URL"},
		{"gateway+https://g.example?dialect=turbo", `dialect "turbo" is not known`},
		{"gateway+https://g.example?currency=ar", `key "currency" is not known`},
	} {
		t.Run(test.url, func(t *testing.T) {
			a, err := archive.OpenURL(test.url, nil)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("OpenURL: got %s, %v, want %q", a.Name(), err, test.want)
			}
			expectNoSecret(t, err.Error())
		})
	}
}
