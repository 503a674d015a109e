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
		"nothing set":           {nil, nil, config{Port: 3000, StateDir: "./state", AdminUser: "admin"}},
		"by the environment":    {map[string]string{"PORT": "8080", "STATE_DIR": "/srv/x", "ADMIN_USER": "eva", "ADMIN_PASSWORD": "longenough"}, nil, config{Port: 8080, StateDir: "/srv/x", AdminUser: "eva", AdminPassword: "longenough"}},
		"by flags":              {nil, []string{"--port", "1", "--state-dir", "x", "--admin-user", "eva", "--admin-password", "longenough", "--dev"}, config{Port: 1, StateDir: "x", AdminUser: "eva", AdminPassword: "longenough", Dev: true}},
		"the flag wins":         {map[string]string{"PORT": "8080"}, []string{"--port", "81"}, config{Port: 81, StateDir: "./state", AdminUser: "admin"}},
		"with a cloud":          {map[string]string{"CLOUDINARY_URL": "cloudinary://1:2@demo", "PHOTOS_FROM_CLOUD": "true"}, nil, config{Port: 3000, StateDir: "./state", AdminUser: "admin", CloudinaryURL: "cloudinary://1:2@demo", PhotosFromCloud: true}},
		"with a cloud of three": {map[string]string{"CLOUDINARY_CLOUD_NAME": "demo", "CLOUDINARY_API_KEY": "1", "CLOUDINARY_API_SECRET": "2"}, nil, config{Port: 3000, StateDir: "./state", AdminUser: "admin", CloudinaryCloudName: "demo", CloudinaryAPIKey: "1", CloudinaryAPISecret: "2"}},
		"a cloud unset":         {map[string]string{"CLOUDINARY_URL": "", "CLOUDINARY_API_KEY": ""}, nil, config{Port: 3000, StateDir: "./state", AdminUser: "admin"}},
		"on Fly":                {map[string]string{"FLY_APP_NAME": "x", "ADMIN_PASSWORD": "longenough"}, nil, config{Port: 3000, StateDir: "./state", AdminUser: "admin", AdminPassword: "longenough", FlyAppName: "x"}},
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
		"half a cloud":       {map[string]string{"CLOUDINARY_CLOUD_NAME": "demo", "CLOUDINARY_API_SECRET": "s3cret"}, nil, "CLOUDINARY_API_KEY must be set too"},
		"no cloud's URL":     {map[string]string{"CLOUDINARY_URL": "https://1:s3cret@demo"}, nil, "cloudinary://key:secret@cloud"},
		"the example's URL":  {map[string]string{"CLOUDINARY_URL": "cloudinary://<your_api_key>:<your_api_secret>@demo"}, nil, "put yours there"},
		"from no cloud":      {map[string]string{"PHOTOS_FROM_CLOUD": "true"}, nil, "set CLOUDINARY_URL"},
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
			if strings.Contains(stderr.String(), "s3cret") {
				t.Errorf("the operator reads a secret in %q", stderr.String())
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
	for _, name := range []string{"$PORT", "$STATE_DIR", "$ADMIN_USER", "$ADMIN_PASSWORD",
		"$CLOUDINARY_URL", "$CLOUDINARY_CLOUD_NAME", "$CLOUDINARY_API_KEY", "$CLOUDINARY_API_SECRET", "$PHOTOS_FROM_CLOUD"} {
		if !strings.Contains(stdout.String(), name) {
			t.Errorf("--help does not name %s:\n%s", name, stdout.String())
		}
	}
}
