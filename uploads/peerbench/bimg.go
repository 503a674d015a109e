//go:build cgo && vips

package main

import (
	"github.com/h2non/bimg"
)

var errNoVips error

var peers = []peer{
	ours,
	{"bimg", "`Resize` with `Quality` and `StripMetadata`. It knows no sampling of colours, and libvips keeps them whole from quality 90 on: twice the samples. Of a photo that it turns it makes another JPEG, of quality 100, which it needs for smaller sizes only. It fits the Huffman codes to each photo",
		func(dir string) (store, error) { return vips(dir, resize) }},
	{"libvips", "its C functions without bimg: `jpegload`, `autorot`, `jpegsave`; colours sampled as uploads has them, rows read as they are needed where nothing is to be turned",
		func(dir string) (store, error) { return vips(dir, upright) }},
}

// vips has libvips forget each photo: by default it keeps 100 MB of what it made,
// in case that the same is asked for again.
func vips(dir string, clean func([]byte) ([]byte, error)) (store, error) {
	bimg.VipsCacheSetMax(0)
	return plain{dir, clean}, nil
}

func resize(photo []byte) ([]byte, error) {
	return bimg.Resize(photo, bimg.Options{Type: bimg.JPEG, Quality: quality, StripMetadata: true})
}

// withVips says what the numbers hang on.
func withVips() string { return "bimg " + bimg.Version + " with libvips " + bimg.VipsVersion }
