package main

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// The sample configuration holds every key, and nothing that the program does
// not take.
func TestSampleConfiguration(t *testing.T) {
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "PGBRIDGE_") {
			t.Setenv(name, "")
		}
	}
	const file = "../../etc/pgbridge.yaml"
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	configFlags(flags)
	if err := flags.Set("config", file); err != nil {
		t.Fatal(err)
	}
	c, err := loadConfig(flags)
	if err != nil {
		t.Fatalf("load %s: %v", file, err)
	}
	if c.DatabaseURL == "" || c.Key == "" || !slices.Equal(c.Archives, []string{"http://localhost:1984"}) || c.Wallet != "" || c.JSON || c.LogLevel != "info" {
		t.Errorf("got %+v", c)
	}

	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var keys map[string]any
	if err := yaml.Unmarshal(text, &keys); err != nil {
		t.Fatal(err)
	}
	settings().VisitAll(func(f *pflag.Flag) {
		if _, ok := keys[f.Name]; !ok && f.Name != "config" {
			t.Errorf("%s has no key %s", file, f.Name)
		}
	})
}
