package ddl

import (
	"testing"

	"github.com/pgbridge/pgbridge/internal/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }
