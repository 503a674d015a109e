package uploads_test

import (
	"context"
	"fmt"
	"image"
	"image/png"
	"io"
	"os"

	"github.com/contestkit/contestkit/uploads"
)

// sent is a request's body with a photo in it.
func sent() io.Reader {
	r, w := io.Pipe()
	go func() { w.CloseWithError(png.Encode(w, image.NewRGBA(image.Rect(0, 0, 640, 480)))) }()
	return r
}

func Example() {
	folder, _ := os.MkdirTemp("", "photos")
	defer os.RemoveAll(folder)

	photos, err := uploads.OpenDir(folder, nil)
	if err != nil {
		panic(err)
	}
	defer photos.Close()

	photo, err := photos.Accept(context.Background(), sent()) // or an error with a sentence for the visitor
	if err != nil {
		panic(err)
	}
	fmt.Println(photo.Width, photo.Height, len(photo.ID)) // on disk already, and clean
	handler := photos.Handler(nil)                        // serves it at /<id>, and narrower at /<id>?w=400
	fmt.Println(handler != nil, uploads.SrcSet("/p", photo.Width))
	// Output:
	// 640 480 64
	// true /p?w=400 400w, /p 640w
}
