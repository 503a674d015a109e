// Package cloudinarytest is a server that behaves as the upload API of Cloudinary
// does, and as badly as one likes. It checks signatures as the documentation says
// and keeps photos in memory; it is for tests and demonstrations.
//
// The API is that of https://cloudinary.com/documentation/image_upload_api_reference
// and https://cloudinary.com/documentation/authentication_signatures, read in
// November 2026.
package cloudinarytest

import (
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"image"
	_ "image/jpeg" // to tell pictures from what is none
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// maxBytes is how large a picture may be on the free plan.
const maxBytes = 10 << 20

// Server is a cloud with one account. It is an http.Handler, safe for concurrent
// use.
type Server struct {
	cloud, key, secret string

	mu       sync.Mutex // guards the fields below
	photos   map[string][]byte
	uploads  map[string]int
	failures []failing
	requests int
}

// New returns a server for an account.
func New(cloud, key, secret string) *Server {
	return &Server{cloud: cloud, key: key, secret: secret, photos: map[string][]byte{}, uploads: map[string]int{}}
}

// CloudinaryURL returns the CLOUDINARY_URL of a server that listens at base, such
// as http://127.0.0.1:4000.
func (s *Server) CloudinaryURL(base string) string {
	u := url.URL{Scheme: "cloudinary", User: url.UserPassword(s.key, s.secret), Host: s.cloud}
	u.RawQuery = url.Values{"upload_prefix": {base}}.Encode()
	return u.String()
}

// Photos returns the public ids of what is stored, sorted.
func (s *Server) Photos() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.photos))
}

// Photo returns the bytes stored under a public id, nil without.
func (s *Server) Photo(publicID string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.photos[publicID]
}

// Uploads returns how often a photo was uploaded with success.
func (s *Server) Uploads(publicID string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.uploads[publicID]
}

// Requests returns how many calls of the API came, those that failed included.
func (s *Server) Requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

// ServeHTTP serves the API at /v1_1/<cloud>/..., and delivers photos at
// /<cloud>/image/upload/..., without transforming them.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if r.Method == http.MethodGet && len(path) >= 4 && path[0] == s.cloud && path[2] == "upload" {
		s.deliver(w, r, path[len(path)-1])
		return
	}
	s.mu.Lock()
	s.requests++
	s.mu.Unlock()
	if f := s.failure(); f != nil {
		f(w, r)
		return
	}
	switch {
	case r.Method != http.MethodPost || len(path) != 4 || path[0] != "v1_1":
		fail(w, http.StatusNotFound, "Resource not found")
	case path[1] != s.cloud:
		fail(w, http.StatusUnauthorized, "Invalid cloud_name "+path[1])
	case path[3] == "upload" && (path[2] == "image" || path[2] == "auto"):
		s.upload(w, r)
	case path[3] == "destroy" && path[2] == "image":
		s.destroy(w, r)
	default:
		fail(w, http.StatusNotFound, "Resource not found")
	}
}

func (s *Server) upload(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseMultipartForm(1 << 20); err != nil {
		fail(w, http.StatusBadRequest, "Missing required parameter - file")
		return
	}
	defer r.MultipartForm.RemoveAll()
	if !s.allowed(w, r.PostForm) {
		return
	}
	file, _, err := r.FormFile("file")
	if err != nil {
		fail(w, http.StatusBadRequest, "Missing required parameter - file")
		return
	}
	defer file.Close()
	b, err := io.ReadAll(io.LimitReader(file, maxBytes+1))
	if err != nil {
		fail(w, http.StatusBadRequest, "Upload failed")
		return
	}
	if len(b) > maxBytes {
		fail(w, http.StatusBadRequest, fmt.Sprintf("File size too large. Got %d. Maximum is %d.", len(b), maxBytes))
		return
	}
	picture, format, err := image.DecodeConfig(bytes.NewReader(b))
	if err != nil {
		fail(w, http.StatusBadRequest, "Invalid image file")
		return
	}
	id := r.PostForm.Get("public_id")
	if id == "" {
		fail(w, http.StatusBadRequest, "this server wants a public_id")
		return
	}
	s.mu.Lock()
	old, existing := s.photos[id]
	if existing && r.PostForm.Get("overwrite") == "false" {
		b = old
	} else {
		existing = false
		s.photos[id] = b
	}
	s.uploads[id]++
	s.mu.Unlock()

	const version = 1795500000
	etag := md5.Sum(b)
	place := r.Host + "/" + s.cloud + "/image/upload/v" + strconv.Itoa(version) + "/" + id + ".jpg"
	answer(w, http.StatusOK, map[string]any{
		"asset_id":      hex.EncodeToString(etag[:]),
		"public_id":     id,
		"version":       version,
		"signature":     digest(sha1.New(), "public_id="+id+"&version="+strconv.Itoa(version)+s.secret),
		"width":         picture.Width,
		"height":        picture.Height,
		"format":        strings.Replace(format, "jpeg", "jpg", 1),
		"resource_type": "image",
		"created_at":    time.Now().UTC().Format(time.RFC3339),
		"tags":          []string{},
		"bytes":         len(b),
		"type":          "upload",
		"etag":          hex.EncodeToString(etag[:]),
		"existing":      existing,
		"url":           "http://" + place,
		"secure_url":    "http://" + place, // this server speaks no TLS
		"api_key":       s.key,             // as the real one does: answers must not be logged
	})
}

func (s *Server) destroy(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/") {
		r.ParseMultipartForm(1 << 20)
	} else {
		// The Go SDK sends a form without saying so, and the real API takes it.
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.ParseForm()
	}
	if !s.allowed(w, r.PostForm) {
		return
	}
	id := r.PostForm.Get("public_id")
	s.mu.Lock()
	_, there := s.photos[id]
	delete(s.photos, id)
	s.mu.Unlock()
	result := "ok"
	if !there {
		result = "not found"
	}
	answer(w, http.StatusOK, map[string]any{"result": result})
}

// deliver sends a photo, whatever transformation is asked for.
func (s *Server) deliver(w http.ResponseWriter, r *http.Request, name string) {
	id, _, _ := strings.Cut(name, ".")
	b := s.Photo(id)
	if b == nil {
		w.Header().Set("X-Cld-Error", "Resource not found - "+id)
		http.Error(w, "", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "image/jpeg")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
}

// allowed checks key, time and signature, and answers when they are wrong.
func (s *Server) allowed(w http.ResponseWriter, form url.Values) bool {
	if key := form.Get("api_key"); key != s.key {
		fail(w, http.StatusUnauthorized, "Unknown API key "+key)
		return false
	}
	at, err := strconv.ParseInt(form.Get("timestamp"), 10, 64)
	if err != nil {
		fail(w, http.StatusBadRequest, "Missing required parameter - timestamp")
		return false
	}
	if age := time.Since(time.Unix(at, 0)); age > time.Hour || age < -time.Hour {
		fail(w, http.StatusBadRequest, fmt.Sprintf("Stale request - reported time is %s which is more than 1 hour ago", time.Unix(at, 0).UTC()))
		return false
	}
	given := form.Get("signature")
	text := StringToSign(form)
	want := Sign(form, s.secret, len(given) == hex.EncodedLen(sha256.Size))
	if subtle.ConstantTimeCompare([]byte(given), []byte(want)) != 1 {
		fail(w, http.StatusUnauthorized, fmt.Sprintf("Invalid Signature %s. String to sign - '%s'.", given, text))
		return false
	}
	return true
}

// StringToSign returns what is signed: every parameter but some, sorted by name,
// joined as in a query but not escaped, except for & (signature version 2).
func StringToSign(form url.Values) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(form)) {
		switch name {
		case "file", "cloud_name", "resource_type", "api_key", "signature":
			continue
		}
		if value := strings.Join(form[name], ","); value != "" {
			parts = append(parts, strings.ReplaceAll(name+"="+value, "&", "%26"))
		}
	}
	return strings.Join(parts, "&")
}

// Sign returns the signature of a request, by SHA-1 or by SHA-256.
func Sign(form url.Values, secret string, by256 bool) string {
	h := sha1.New()
	if by256 {
		h = sha256.New()
	}
	return digest(h, StringToSign(form)+secret)
}

func digest(h hash.Hash, text string) string {
	io.WriteString(h, text)
	return hex.EncodeToString(h.Sum(nil))
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body)
}

// fail answers as the API does.
func fail(w http.ResponseWriter, status int, message string) {
	w.Header().Set("X-Cld-Error", message)
	answer(w, status, map[string]any{"error": map[string]string{"message": message}})
}
