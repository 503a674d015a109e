package cloudinarytest_test

import (
	"bytes"
	"image"
	"image/jpeg"
	"io"
	"mime/multipart"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/contestkit/contestkit/uploads/cloudinarytest"
)

// TestSignaturesOfTheDocumentation: the examples of
// https://cloudinary.com/documentation/authentication_signatures.
func TestSignaturesOfTheDocumentation(t *testing.T) {
	for _, test := range []struct {
		form url.Values
		want string
	}{
		{url.Values{"public_id": {"sample_image"}, "timestamp": {"1315060510"}}, "b4ad47fb4e25c7bf5f92a20089f9db59bc302313"},
		{url.Values{"public_id": {"sample_image"}, "timestamp": {"1315060510"}, "eager": {"w_400,h_300,c_pad|w_260,h_200,c_crop"},
			"api_key": {"1234"}, "file": {"x"}, "resource_type": {"image"}, "cloud_name": {"demo"}}, "bfd09f95f331f558cbd1320e67aa8d488770583e"},
	} {
		if got := cloudinarytest.Sign(test.form, "abcd", false); got != test.want {
			t.Errorf("%v: got %s, want %s", test.form, got, test.want)
		}
	}
}

func TestRequestsThatAreNotInOrderAreRefused(t *testing.T) {
	var photo bytes.Buffer
	if err := jpeg.Encode(&photo, image.NewGray(image.Rect(0, 0, 2, 2)), nil); err != nil {
		t.Fatal(err)
	}
	s := cloudinarytest.New("demo", "key", "secret")
	now := strconv.FormatInt(time.Now().Unix(), 10)
	for _, test := range []struct {
		name   string
		path   string
		change func(url.Values)
		file   string
		status int
		says   string
	}{
		{"well", "/v1_1/demo/image/upload", func(url.Values) {}, photo.String(), 200, `"public_id":"x"`},
		{"another photo", "/v1_1/demo/image/upload", func(f url.Values) { f.Set("public_id", "y") }, photo.String(), 401, "Invalid Signature"},
		{"more than was signed", "/v1_1/demo/image/upload", func(f url.Values) { f.Set("tags", "a") }, photo.String(), 401, "Invalid Signature"},
		{"another key", "/v1_1/demo/image/upload", func(f url.Values) { f.Set("api_key", "z") }, photo.String(), 401, "Unknown API key"},
		{"another cloud", "/v1_1/other/image/upload", func(url.Values) {}, photo.String(), 401, "Invalid cloud_name"},
		{"no picture", "/v1_1/demo/image/upload", func(url.Values) {}, "text", 400, "Invalid image file"},
		{"old", "/v1_1/demo/image/upload", func(f url.Values) {
			f.Set("timestamp", "1315060510")
			f.Set("signature", cloudinarytest.Sign(f, "secret", false))
		}, photo.String(), 400, "Stale request"},
		{"too large", "/v1_1/demo/image/upload", func(url.Values) {}, photo.String() + strings.Repeat("x", 10<<20), 400, "File size too large"},
		{"no such call", "/v1_1/demo/image/rename", func(url.Values) {}, photo.String(), 404, "not found"},
	} {
		form := url.Values{"public_id": {"x"}, "timestamp": {now}}
		form.Set("signature", cloudinarytest.Sign(form, "secret", len(test.name)%2 == 0))
		form.Set("api_key", "key")
		test.change(form)
		var body bytes.Buffer
		m := multipart.NewWriter(&body)
		for name := range form {
			m.WriteField(name, form.Get(name))
		}
		part, _ := m.CreateFormFile("file", "x.jpg")
		io.WriteString(part, test.file)
		m.Close()
		r := httptest.NewRequest("POST", test.path, &body)
		r.Header.Set("Content-Type", m.FormDataContentType())
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != test.status || !strings.Contains(w.Body.String(), test.says) {
			t.Errorf("%s: got %d %s, want %d and %s", test.name, w.Code, w.Body, test.status, test.says)
		}
	}
	if got := s.Photos(); len(got) != 1 || s.Uploads("x") != 1 {
		t.Errorf("got %v", got)
	}
}
