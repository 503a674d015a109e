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

// picture returns a JPEG that is n pixels wide.
func picture(t *testing.T, n int) string {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, image.NewGray(image.Rect(0, 0, n, 2)), nil); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// post sends a form, with a file unless that is empty.
func post(s *cloudinarytest.Server, path string, form url.Values, file string) *httptest.ResponseRecorder {
	var body bytes.Buffer
	m := multipart.NewWriter(&body)
	for name := range form {
		m.WriteField(name, form.Get(name))
	}
	if file != "" {
		part, _ := m.CreateFormFile("file", "x.jpg")
		io.WriteString(part, file)
	}
	m.Close()
	r := httptest.NewRequest("POST", path, &body)
	r.Header.Set("Content-Type", m.FormDataContentType())
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

// signed returns a form with what every request has.
func signed(pairs ...string) url.Values {
	form := url.Values{"timestamp": {strconv.FormatInt(time.Now().Unix(), 10)}}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	form.Set("signature", cloudinarytest.Sign(form, "secret", false))
	form.Set("api_key", "key")
	return form
}

const upload, destroy = "/v1_1/demo/image/upload", "/v1_1/demo/image/destroy"

func TestWhatIsSignedCannotBeReadInTwoWays(t *testing.T) {
	got := cloudinarytest.StringToSign(url.Values{"tags": {"a&public_id=b", "c"}, "public_id": {"x"}, "empty": {""}, "signature": {"s"}})
	if want := "public_id=x&tags=a%26public_id=b,c"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestAPhotoIsReplacedUnlessToldNotTo(t *testing.T) {
	s := cloudinarytest.New("demo", "key", "secret")
	first, second := picture(t, 2), picture(t, 4)
	for _, test := range []struct {
		form url.Values
		file string
		want string
		says string
	}{
		{signed("public_id", "x", "overwrite", "false"), first, first, `"existing":false`},
		{signed("public_id", "x", "overwrite", "false"), second, first, `"existing":true`},
		{signed("public_id", "x"), second, second, `"existing":false`},
	} {
		w := post(s, upload, test.form, test.file)
		if w.Code != 200 || !strings.Contains(w.Body.String(), test.says) || string(s.Photo("x")) != test.want {
			t.Errorf("%v: got %d %s", test.form, w.Code, w.Body)
		}
	}
	if s.Uploads("x") != 3 || s.Requests() != 3 {
		t.Errorf("got %d uploads in %d requests, want 3 in 3", s.Uploads("x"), s.Requests())
	}
	for _, want := range []string{`"ok"`, `"not found"`} {
		if w := post(s, destroy, signed("public_id", "x"), ""); w.Code != 200 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("got %d %s, want %s", w.Code, w.Body, want)
		}
	}
	if len(s.Photos()) != 0 {
		t.Errorf("left %v", s.Photos())
	}
}

func TestPhotosAreDelivered(t *testing.T) {
	s := cloudinarytest.New("demo", "key", "secret")
	post(s, upload, signed("public_id", "x"), picture(t, 2))
	for path, want := range map[string]int{
		"/demo/image/upload/v1/x.jpg":        200,
		"/demo/image/upload/w_400/v1/x.jpg":  200,
		"/demo/image/upload/v1/y.jpg":        404,
		"/elsewhere/image/upload/v1/x.jpg":   404,
		"/demo/image/authenticated/v1/x.jpg": 404,
	} {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != want || want == 200 && w.Body.String() != picture(t, 2) {
			t.Errorf("%s: got %d, want %d", path, w.Code, want)
		}
	}
}

func TestFailuresComeInOrderAndEnd(t *testing.T) {
	s := cloudinarytest.New("demo", "key", "secret")
	s.Fail(cloudinarytest.InternalError, 2)
	s.Fail(cloudinarytest.Locked, 1)
	for i, want := range []int{500, 500, 423, 200} {
		if w := post(s, upload, signed("public_id", "x"), picture(t, 2)); w.Code != want {
			t.Errorf("request %d: got %d, want %d", i, w.Code, want)
		}
	}
	s.Fail(cloudinarytest.Unavailable, -1)
	for range 3 {
		if w := post(s, upload, signed("public_id", "x"), picture(t, 2)); w.Code != 503 {
			t.Errorf("got %d, want 503 until it recovers", w.Code)
		}
	}
	s.Recover()
	if w := post(s, upload, signed("public_id", "x"), picture(t, 2)); w.Code != 200 || s.Requests() != 8 || s.Uploads("x") != 2 {
		t.Errorf("got %d after %d requests and %d uploads, want 200, 8 and 2", w.Code, s.Requests(), s.Uploads("x"))
	}
}

func TestRequestsThatAreNotInOrderAreRefused(t *testing.T) {
	photo := picture(t, 2)
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
		{"well", upload, func(url.Values) {}, photo, 200, `"public_id":"x"`},
		{"another photo", upload, func(f url.Values) { f.Set("public_id", "y") }, photo, 401, "Invalid Signature"},
		{"more than was signed", upload, func(f url.Values) { f.Set("tags", "a") }, photo, 401, "Invalid Signature"},
		{"another key", upload, func(f url.Values) { f.Set("api_key", "z") }, photo, 401, "Unknown API key"},
		{"another cloud", "/v1_1/other/image/upload", func(url.Values) {}, photo, 401, "Invalid cloud_name"},
		{"no picture", upload, func(url.Values) {}, "text", 400, "Invalid image file"},
		{"old", upload, func(f url.Values) {
			f.Set("timestamp", "1315060510")
			f.Set("signature", cloudinarytest.Sign(f, "secret", false))
		}, photo, 400, "Stale request"},
		{"of the future", upload, func(f url.Values) {
			f.Set("timestamp", strconv.FormatInt(time.Now().Unix()+2*3600, 10))
			f.Set("signature", cloudinarytest.Sign(f, "secret", false))
		}, photo, 400, "Stale request"},
		{"no time", upload, func(f url.Values) { f.Del("timestamp") }, photo, 400, "timestamp"},
		{"no signature", upload, func(f url.Values) { f.Del("signature") }, photo, 401, "Invalid Signature"},
		{"no file", upload, func(url.Values) {}, "", 400, "file"},
		{"no id", upload, func(f url.Values) {
			f.Del("public_id")
			f.Set("signature", cloudinarytest.Sign(f, "secret", true))
		}, photo, 400, "public_id"},
		{"a deletion of another photo", destroy, func(f url.Values) { f.Set("public_id", "y") }, "", 401, "Invalid Signature"},
		{"too large", upload, func(url.Values) {}, photo + strings.Repeat("x", 10<<20), 400, "File size too large"},
		{"no such call", "/v1_1/demo/image/rename", func(url.Values) {}, photo, 404, "not found"},
	} {
		form := url.Values{"public_id": {"x"}, "timestamp": {now}}
		form.Set("signature", cloudinarytest.Sign(form, "secret", len(test.name)%2 == 0))
		form.Set("api_key", "key")
		test.change(form)
		w := post(s, test.path, form, test.file)
		if w.Code != test.status || !strings.Contains(w.Body.String(), test.says) {
			t.Errorf("%s: got %d %s, want %d and %s", test.name, w.Code, w.Body, test.status, test.says)
		}
	}
	if got := s.Photos(); len(got) != 1 || s.Uploads("x") != 1 {
		t.Errorf("got %v", got)
	}
}
