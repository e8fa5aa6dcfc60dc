package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"github.com/spf13/viper"
)

// config is everything that can be configured: by flag, by environment
// (PGBRIDGE_ and the name in capitals, with underscores), or in one YAML file,
// in that order of precedence.
type config struct {
	File        string   `mapstructure:"config"`
	DatabaseURL string   `mapstructure:"database-url"`
	Key         string   `mapstructure:"key"`
	Wallet      string   `mapstructure:"wallet"`
	Archives    []string `mapstructure:"archive"`
	JSON        bool     `mapstructure:"json"`
	LogLevel    string   `mapstructure:"log-level"`
	// The service may connect as a superuser.
	AllowSuperuser bool `mapstructure:"allow-superuser"`

	// When run makes checkpoints: since the last one. Zero: never.
	CheckpointEvery   time.Duration `mapstructure:"checkpoint-every"`
	CheckpointRecords uint64        `mapstructure:"checkpoint-records"`
	CheckpointBytes   string        `mapstructure:"checkpoint-bytes"`
	// How checkpoints are made.
	CheckpointJobs int    `mapstructure:"checkpoint-jobs"`
	CheckpointRate string `mapstructure:"checkpoint-rate"`
}

// configFlags are the flags of every command.
func configFlags(flags *pflag.FlagSet) {
	flags.String("config", "", "YAML `file` with any of these settings (PGBRIDGE_CONFIG)")
	flags.String("database-url", "", "the Postgres database, postgres://user@host/name (PGBRIDGE_DATABASE_URL)")
	flags.String("key", "", "writer key `file`, made by pgbridge keygen (PGBRIDGE_KEY)")
	flags.String("wallet", "", "`file` with the Arweave (JWK) or Ethereum key that pays for uploads; default: the writer key signs them (PGBRIDGE_WALLET)")
	flags.StringSlice("archive", nil, "archive `URL`, may be repeated: http(s)://HOST a node, dir:///PATH a folder, bundlr+https://, turbo+https://, gateway+https:// (PGBRIDGE_ARCHIVE, comma separated)")
	flags.Bool("allow-superuser", false, "let the service work as a superuser: whoever writes what it reads may then do what a superuser may (PGBRIDGE_ALLOW_SUPERUSER)")
	flags.Bool("json", false, "print results as JSON lines")
	flags.String("log-level", "info", "debug, info, warn or error (PGBRIDGE_LOG_LEVEL)")
}

// checkpointFlags are those of run. Other commands have them from the environment
// and the file.
func checkpointFlags(flags *pflag.FlagSet) {
	flags.Duration("checkpoint-every", 0, "make a checkpoint when so much `time` has passed since the last, 24h say; 0: never")
	flags.Uint64("checkpoint-records", 0, "make a checkpoint after this `number` of records; 0: never")
	flags.String("checkpoint-bytes", "0", "make a checkpoint after so many `bytes` of WAL, 10G say; 0: never")
	flags.Int("checkpoint-jobs", 1, "read a checkpoint with this `number` of sessions at once; more than one are faster and take the server's cache")
	flags.String("checkpoint-rate", "0", "the most `bytes` of rows that a checkpoint reads in a second, 20M say; 0: no limit")
}

// settings are all flags that may be in the file.
func settings() *pflag.FlagSet {
	all := pflag.NewFlagSet("", pflag.ContinueOnError)
	configFlags(all)
	checkpointFlags(all)
	return all
}

// loadConfig reads the three sources. A key that is not known is an error: a
// misspelt setting must not be a default in disguise.
func loadConfig(flags *pflag.FlagSet) (config, error) {
	v := viper.New()
	v.SetEnvPrefix("PGBRIDGE")
	v.SetEnvKeyReplacer(strings.NewReplacer("-", "_"))
	v.AutomaticEnv()
	settings().VisitAll(func(f *pflag.Flag) {
		if given := flags.Lookup(f.Name); given != nil {
			f = given
		}
		_ = v.BindPFlag(f.Name, f) // errs only for a nil flag
	})
	if file := v.GetString("config"); file != "" {
		if err := readConfigFile(v, file); err != nil {
			return config{}, usageError{err}
		}
	}
	var c config
	if err := v.Unmarshal(&c); err != nil {
		return config{}, usageError{fmt.Errorf("configuration: %w", err)}
	}
	return c, nil
}

func readConfigFile(v *viper.Viper, file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("configuration file: %w", err)
	}
	only := viper.New()
	only.SetConfigType("yaml")
	if err := only.ReadConfig(strings.NewReader(string(text))); err != nil {
		return fmt.Errorf("configuration file %s: %w", file, err)
	}
	known := settings()
	for _, key := range only.AllKeys() {
		if known.Lookup(key) == nil {
			return fmt.Errorf("configuration file %s: key %q is not known: the keys are the flags without their dashes (pgbridge run --help)", file, key)
		}
	}
	v.SetConfigType("yaml")
	return v.ReadConfig(strings.NewReader(string(text)))
}

// logger writes to standard error: text for people, JSON where results are JSON.
func (c config) logger() (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		return nil, usageError{fmt.Errorf("--log-level %q: want debug, info, warn or error", c.LogLevel)}
	}
	options := &slog.HandlerOptions{Level: level}
	if c.JSON {
		return slog.New(slog.NewJSONHandler(os.Stderr, options)), nil
	}
	return slog.New(slog.NewTextHandler(os.Stderr, options)), nil
}

// needDatabase and its like refuse to begin without a setting.
func (c config) needDatabase() error {
	if c.DatabaseURL == "" {
		return usageError{errors.New("no database: give --database-url or set PGBRIDGE_DATABASE_URL")}
	}
	return nil
}

func (c config) needArchive() error {
	if len(c.Archives) == 0 {
		return usageError{errors.New("no archive: give --archive or set PGBRIDGE_ARCHIVE")}
	}
	return nil
}

func (c config) needKey() error {
	if c.Key == "" {
		return usageError{errors.New("no writer key: give --key or set PGBRIDGE_KEY; pgbridge keygen --out FILE makes one")}
	}
	return nil
}
