//go:build hostile

package hostile

import (
	"testing"

	"github.com/pgbridge/pgbridge/internal/bridgetest"
	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// service is the role as which run and follow connect, made by init --role.
const service = "pgbridge"

// rights are the options of pg_dump that leave out what does not travel.
var rights = []string{"--no-owner", "--no-privileges"}

// administer returns a site where commands of an administrator run: init, restore,
// checkpoint, verify, drill.
func administer(db *pgtest.DB, archives ...string) *bridgetest.Site {
	site := bridgetest.NewSite(db, archives...)
	site.Env = append(site.Env, "PGBRIDGE_ALLOW_SUPERUSER=false")
	return site
}

// initArgs are the arguments of init, with the role that it is to make.
func initArgs(args ...string) []string {
	args = append([]string{"init"}, args...)
	return append(args, "--role", service)
}

// run starts pgbridge run as the service.
func run(t testing.TB, admin *bridgetest.Site, db *pgtest.DB) *bridgetest.Process {
	t.Helper()
	return serving(admin, db).Start(t, "run")
}

// serving is a site where commands run as the service: run, checkpoint.
func serving(admin *bridgetest.Site, db *pgtest.DB) *bridgetest.Site {
	site := &bridgetest.Site{Env: append([]string{}, admin.Env...)}
	site.Env = append(site.Env, "PGBRIDGE_DATABASE_URL="+db.URLAs(service))
	return site
}
