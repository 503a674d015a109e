package main

import (
	"context"
	"fmt"
	"regexp"
	"runtime/debug"
	"strings"

	"github.com/alecthomas/kong"
)

// cli is every command with its flags.
type cli struct {
	Stat    statCommand    `cmd:"" help:"Show what there is: sizes, changes, backups, whether a program has the store open."`
	Verify  verifyCommand  `cmd:"" help:"Read everything and check it against every checksum."`
	Dump    dumpCommand    `cmd:"" help:"Print the changes in the log, or the state, as JSON."`
	Tail    tailCommand    `cmd:"" help:"Show the latest changes, and with -f those that come."`
	Backups backupsCommand `cmd:"" help:"List the backups."`
	Diff    diffCommand    `cmd:"" help:"Show what changed between two backups or positions."`
	Restore restoreCommand `cmd:"" help:"Go back to a backup, or to before a change."`

	Version kong.VersionFlag `help:"Print the version and exit."`
}

// Help is shown below the description.
func (cli) Help() string {
	return `DIR is the folder with data.json and wal/ in it. The folder around it will do as well, as contestd's ./state. Backups are looked for in DIR/backups, in backups beside DIR, and in DIR-backups; --backups names another place.

All commands but restore only read. They work beside a program that has the store open, and where nothing may be written.

Exit codes: 0 done, 1 something failed or is damaged, 2 the command line makes no sense.

Examples:

    storectl stat state/data
    storectl tail -f state/data
    storectl backups state/data
    storectl restore state/data --before 412`
}

// storeArg names a store.
type storeArg struct {
	Dir     string `arg:"" help:"Folder of the store."`
	Backups string `placeholder:"DIR" help:"Folder of the backups. Default: backups in DIR or beside it."`
}

// jsonFlag is of commands that print for people by default.
type jsonFlag struct {
	JSON bool `name:"json" help:"Print JSON, for scripts."`
}

// command is what the command line asks for.
type command interface {
	Run(ctx context.Context, c *console) error
}

// usageError is about a command line that makes no sense.
type usageError struct {
	error
	command string // with a space behind it, or ""
}

func usagef(command, format string, args ...any) error {
	return usageError{fmt.Errorf(format, args...), command + " "}
}

// parse returns the command, or nil when the command line only asked for help
// or the version.
func parse(args []string, c *console) (command, error) {
	var all cli
	exited := false
	parser, err := kong.New(&all,
		kong.Name("storectl"),
		kong.Description("Looks into the directory of an atomicstore, checks it, and goes back to an earlier state."),
		kong.Vars{"version": version()},
		kong.Writers(c.out, c.err),
		kong.Exit(func(int) { exited = true }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true, NoExpandSubcommands: true, WrapUpperBound: 100}),
	)
	if err != nil {
		return nil, fmt.Errorf("describe the commands: %w", err)
	}
	if len(args) > 0 && args[0] == "help" { // as in storectl help restore
		args = append(args[1:len(args):len(args)], "--help")
	}
	for i, arg := range args {
		// Else kong takes the number for a flag.
		if i > 1 && strings.HasPrefix(args[i-1], "-") && below.MatchString(arg) {
			return nil, usagef(args[0], "%s %s: give a number, 0 or more", args[i-1], arg)
		}
	}
	parsed, err := parser.Parse(args)
	if exited {
		return nil, nil
	}
	if err != nil {
		usage := usageError{error: err}
		if parseErr, ok := err.(*kong.ParseError); ok {
			if node := parseErr.Context.Selected(); node != nil {
				usage.command = node.Name + " "
			}
		}
		return nil, usage
	}
	return parsed.Selected().Target.Addr().Interface().(command), nil
}

var below = regexp.MustCompile(`^-\d+$`) // numbers below 0

func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return "storectl " + info.Main.Version
	}
	return "storectl (unknown version)"
}
