package uploads_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/contestkit/contestkit/uploads"
	"github.com/contestkit/contestkit/uploads/cloudinarystore"
	"github.com/contestkit/contestkit/uploads/cloudinarytest"
)

// form takes the file "photo" of a form, and tells a visitor what is wrong.
func form(photos *uploads.Dir) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		parts, err := r.MultipartReader()
		if err != nil {
			http.Error(w, "Send a form.", http.StatusBadRequest)
			return
		}
		part, err := parts.NextPart()
		if err != nil || part.FormName() != "photo" {
			http.Error(w, "The photo is missing.", http.StatusBadRequest)
			return
		}
		photo, err := photos.Accept(r.Context(), part) // while it comes in
		var refused interface {
			HTTPStatus() int
			Sentence() string
		}
		switch {
		case errors.As(err, &refused):
			http.Error(w, refused.Sentence(), refused.HTTPStatus())
		case err != nil:
			http.Error(w, "The photo cannot be kept just now. Try again.", http.StatusServiceUnavailable)
		default:
			fmt.Fprintf(w, `<img src="/photos/%s" srcset="%s">`, photo.ID, uploads.SrcSet("/photos/"+string(photo.ID), photo.Width))
		}
	}
}

// A form whose photos are served from here, and mirrored to the cloud behind
// that. A real program has cloudinarystore.FromEnvironment(os.Getenv).
func Example_form() {
	folder, _ := os.MkdirTemp("", "photos")
	defer os.RemoveAll(folder)
	photos, err := uploads.OpenDir(folder, nil)
	if err != nil {
		panic(err)
	}
	defer photos.Close()

	cloud := cloudinarytest.New("demo", "key", "secret") // or the real one
	there := httptest.NewServer(cloud)
	defer there.Close()
	remote, err := cloudinarystore.New(cloud.CloudinaryURL(there.URL))
	if err != nil {
		panic(err)
	}
	defer remote.Close()
	moved := make(chan uploads.PhotoID)
	syncer := uploads.NewSyncer(photos, remote, &uploads.SyncOptions{
		OnMoved: func(_ context.Context, id uploads.PhotoID, url string) error {
			moved <- id // a real program notes it durably
			return nil
		},
	})
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { syncer.Run(ctx); close(ended) }()
	defer func() { stop(); <-ended }()

	mux := http.NewServeMux()
	mux.Handle("POST /photos", form(photos))
	mux.Handle("/photos/", http.StripPrefix("/photos", photos.Handler(nil)))
	server := httptest.NewServer(mux)
	defer server.Close()

	fmt.Println(send(server.URL, strings.NewReader("no photo")))
	fmt.Println(send(server.URL, picture()))
	fmt.Println("in the cloud:", len(<-moved) == 64)
	// Output:
	// 415 The file is not a photo, or it is damaged. Choose another one.
	// 200 <img src="
	// in the cloud: true
}

// picture is a file of a camera, as it were.
func picture() io.Reader {
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewRGBA(image.Rect(0, 0, 640, 480))); err != nil {
		panic(err)
	}
	return &b
}

// send is a browser that sends the form.
func send(server string, file io.Reader) string {
	var body bytes.Buffer
	parts := multipart.NewWriter(&body)
	part, err := parts.CreateFormFile("photo", "any.jpg")
	if err != nil {
		panic(err)
	}
	io.Copy(part, file)
	parts.Close()
	resp, err := http.Post(server+"/photos", parts.FormDataContentType(), &body)
	if err != nil {
		panic(err)
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(resp.Body)
	first, _, _ := strings.Cut(string(answer), "/photos/")
	return fmt.Sprintf("%d %s", resp.StatusCode, strings.TrimSpace(first))
}
