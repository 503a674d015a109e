package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"runtime/debug"

	"github.com/alecthomas/kong"
)

// config is everything an operator can set. Every value is a flag and, where a
// variable is named, an environment variable; the flag wins.
type config struct {
	Port          int    `env:"PORT" default:"3000" help:"TCP port to listen on, on every interface. 0 lets the system choose."`
	StateDir      string `env:"STATE_DIR" default:"./state" placeholder:"DIR" help:"Folder of the contest: data/, backups/ and uploads/ are made in it. Default: ./state."`
	AdminUser     string `env:"ADMIN_USER" default:"admin" placeholder:"NAME" help:"Name of the organiser. Default: admin."`
	AdminPassword string `env:"ADMIN_PASSWORD" placeholder:"TEXT" help:"Password of the organiser, at least 8 characters. Unset, one is made up at the first start and shown once. Prefer the variable: other users of the machine can read flags."`

	CloudinaryURL       string `env:"CLOUDINARY_URL" name:"cloudinary-url" placeholder:"cloudinary://KEY:SECRET@CLOUD" help:"Account with Cloudinary that photos are mirrored to in the background. Unset, as the three below, there is no cloud and photos are kept here alone. Prefer the variable."`
	CloudinaryCloudName string `env:"CLOUDINARY_CLOUD_NAME" name:"cloudinary-cloud-name" placeholder:"NAME" help:"The account, with the next two, in place of CLOUDINARY_URL."`
	CloudinaryAPIKey    string `env:"CLOUDINARY_API_KEY" name:"cloudinary-api-key" placeholder:"KEY" help:"Key of the account."`
	CloudinaryAPISecret string `env:"CLOUDINARY_API_SECRET" name:"cloudinary-api-secret" placeholder:"SECRET" help:"Secret of the account. Prefer the variable."`
	PhotosFromCloud     bool   `env:"PHOTOS_FROM_CLOUD" help:"Send browsers to the cloud for photos that are there, instead of serving every photo from here. The addresses in the pages stay the same."`

	Dev bool `help:"Read the pages from the checkout at each request instead of from the program."`

	FlyAppName string           `env:"FLY_APP_NAME" hidden:"" help:"Set by Fly.io."`
	Version    kong.VersionFlag `help:"Print the version and exit."`
}

// errUsage marks a command line that could not be understood; the reason has
// already been printed.
var errUsage = errors.New("usage")

const minPassword = 8 // characters, NIST SP 800-63B §5.1.1.1

// parseConfig reads flags and environment. It returns nil and no error when
// the command line only asked for help or the version.
func parseConfig(args []string, stdout, stderr io.Writer) (*config, error) {
	var cfg config
	exited := false
	parser, err := kong.New(&cfg,
		kong.Name("contestd"),
		kong.Description("Live photo contests: entries from phones, shown on every page at once, winners picked by judges.\n\n"+
			"Starts with no configuration at all. Variables are named beside the flags."),
		kong.Vars{"version": version()},
		kong.Writers(stdout, stderr),
		kong.Exit(func(int) { exited = true }),
		kong.UsageOnError(),
	)
	if err != nil {
		return nil, fmt.Errorf("describe flags: %w", err)
	}
	_, err = parser.Parse(args)
	if exited {
		return nil, nil
	}
	if err == nil {
		err = cfg.check()
	}
	if err != nil {
		fmt.Fprintf(stderr, "contestd: %v\nTry contestd --help.\n", err)
		return nil, errUsage
	}
	return &cfg, nil
}

func (c *config) check() error {
	switch {
	case c.Port < 0 || c.Port > 65535:
		return fmt.Errorf("port %d: use a number from 0 to 65535", c.Port)
	case c.StateDir == "":
		return errors.New("the state folder has no name: set --state-dir or STATE_DIR")
	case c.AdminUser == "":
		return errors.New("the organiser has no name: set --admin-user or ADMIN_USER")
	case c.AdminPassword == "" && c.onFly():
		return errors.New("no admin password: on Fly.io nobody reads a made-up one in time; set one with: fly secrets set ADMIN_PASSWORD=<password>")
	case c.AdminPassword != "" && len([]rune(c.AdminPassword)) < minPassword:
		return fmt.Errorf("the admin password is too short: use at least %d characters", minPassword)
	}
	account, err := c.cloudAccount()
	switch {
	case err != nil:
		return fmt.Errorf("the image cloud: %w", err)
	case account != nil:
		account.Close()
	case c.PhotosFromCloud:
		return errors.New("photos cannot come from the cloud without one: set CLOUDINARY_URL, or unset PHOTOS_FROM_CLOUD")
	}
	return nil
}

// The folders of the store.
func (c *config) dataDir() string   { return filepath.Join(c.StateDir, "data") }
func (c *config) backupDir() string { return filepath.Join(c.StateDir, "backups") }

// onFly tells whether Fly's proxy stands in front: it ends TLS and says in
// headers, which strangers cannot set through it, who the client is.
func (c *config) onFly() bool { return c.FlyAppName != "" }

func newLogger(cfg *config, w io.Writer) *slog.Logger {
	if cfg.onFly() {
		return slog.New(slog.NewJSONHandler(w, nil))
	}
	return slog.New(slog.NewTextHandler(w, nil))
}

func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return "contestd " + info.Main.Version
	}
	return "contestd (unknown version)"
}
