//go:build hostile

package hostile

import (
	"os"
	"testing"

	"github.com/pgbridge/pgbridge/internal/bridgetest"
)

func TestMain(m *testing.M) { os.Exit(bridgetest.Main(m)) }
