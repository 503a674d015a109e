//go:build !(cgo && vips)

package main

import "errors"

var errNoVips = errors.New(`this was built without libvips, and there is nothing to compare. Install it
and a C compiler, and build with the tag:
    sudo apt-get install --no-install-recommends libvips-dev pkg-config gcc
    CGO_ENABLED=1 go run -tags vips . -out results`)

var peers = []peer{ours}

func withVips() string { return "no libvips" }
