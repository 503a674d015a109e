package main

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"
)

func TestConfig(t *testing.T) {
	for _, name := range []string{"PORT", "STATE_DIR", "ADMIN_USER", "ADMIN_PASSWORD", "FLY_APP_NAME"} {
		t.Setenv(name, "") // so that it is put back at the end
		os.Unsetenv(name)
	}
	for name, test := range map[string]struct {
		env  map[string]string
		args []string
		want config
	}{
		"nothing set":        {nil, nil, config{Port: 3000, StateDir: "./state", AdminUser: "admin"}},
		"by the environment": {map[string]string{"PORT": "8080", "STATE_DIR": "/srv/x", "ADMIN_USER": "eva", "ADMIN_PASSWORD": "longenough"}, nil, config{Port: 8080, StateDir: "/srv/x", AdminUser: "eva", AdminPassword: "longenough"}},
		"by flags":           {nil, []string{"--port", "1", "--state-dir", "x", "--admin-user", "eva", "--admin-password", "longenough", "--dev"}, config{Port: 1, StateDir: "x", AdminUser: "eva", AdminPassword: "longenough", Dev: true}},
		"the flag wins":      {map[string]string{"PORT": "8080"}, []string{"--port", "81"}, config{Port: 81, StateDir: "./state", AdminUser: "admin"}},
		"on Fly":             {map[string]string{"FLY_APP_NAME": "x", "ADMIN_PASSWORD": "longenough"}, nil, config{Port: 3000, StateDir: "./state", AdminUser: "admin", AdminPassword: "longenough", FlyAppName: "x"}},
	} {
		t.Run(name, func(t *testing.T) {
			for k, v := range test.env {
				t.Setenv(k, v)
			}
			got, err := parseConfig(test.args, new(bytes.Buffer), new(bytes.Buffer))
			if err != nil || *got != test.want {
				t.Errorf("got %+v, %v, want %+v", got, err, test.want)
			}
		})
	}
}

func TestRefusedConfig(t *testing.T) {
	for name, test := range map[string]struct {
		env  map[string]string
		args []string
		want string
	}{
		"no password on Fly": {map[string]string{"FLY_APP_NAME": "x"}, nil, "fly secrets set ADMIN_PASSWORD"},
		"a short password":   {nil, []string{"--admin-password", "short"}, "at least 8"},
		"a port of words":    {map[string]string{"PORT": "http"}, nil, "PORT"},
		"a port too high":    {nil, []string{"--port", "70000"}, "65535"},
		"an unknown flag":    {nil, []string{"--nothing"}, "--nothing"},
		"no user":            {nil, []string{"--admin-user", ""}, "--admin-user"},
	} {
		t.Run(name, func(t *testing.T) {
			for k, v := range test.env {
				t.Setenv(k, v)
			}
			var stderr bytes.Buffer
			if _, err := parseConfig(test.args, new(bytes.Buffer), &stderr); !errors.Is(err, errUsage) {
				t.Errorf("got %v", err)
			}
			if !strings.Contains(stderr.String(), test.want) {
				t.Errorf("the operator reads %q, which does not name %q", stderr.String(), test.want)
			}
		})
	}
}

func TestHelp(t *testing.T) {
	var stdout, stderr bytes.Buffer
	cfg, err := parseConfig([]string{"--help"}, &stdout, &stderr)
	if cfg != nil || err != nil {
		t.Errorf("got %v, %v", cfg, err)
	}
	for _, name := range []string{"$PORT", "$STATE_DIR", "$ADMIN_USER", "$ADMIN_PASSWORD"} {
		if !strings.Contains(stdout.String(), name) {
			t.Errorf("--help does not name %s:\n%s", name, stdout.String())
		}
	}
}
