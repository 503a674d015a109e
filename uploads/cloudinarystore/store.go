// Package cloudinarystore is an uploads.Remote on Cloudinary.
//
// A photo's public id is its hash, so that sending one again changes nothing.
// Importing package uploads does not pull this package, or the SDK, in.
package cloudinarystore

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"github.com/cloudinary/cloudinary-go/v2"
	"github.com/cloudinary/cloudinary-go/v2/api"
	"github.com/cloudinary/cloudinary-go/v2/api/uploader"
	"github.com/cloudinary/cloudinary-go/v2/logger"

	"github.com/contestkit/contestkit/uploads"
)

// Store is an account with Cloudinary. It is safe for concurrent use.
type Store struct {
	cloud   *cloudinary.Cloudinary
	base    *http.Transport
	secrets *strings.Replacer
}

// ErrNotConfigured means that the environment names no account.
var ErrNotConfigured = errors.New("cloudinarystore: no account is configured")

// FromEnvironment opens the account that the environment names, through os.Getenv
// or the like: CLOUDINARY_URL (cloudinary://key:secret@cloud), or else
// CLOUDINARY_CLOUD_NAME, CLOUDINARY_API_KEY and CLOUDINARY_API_SECRET together.
// It returns [ErrNotConfigured] when none of them is set.
func FromEnvironment(getenv func(string) string) (*Store, error) {
	if u := getenv("CLOUDINARY_URL"); u != "" {
		return New(u)
	}
	names := []string{"CLOUDINARY_CLOUD_NAME", "CLOUDINARY_API_KEY", "CLOUDINARY_API_SECRET"}
	var values, missing []string
	for _, name := range names {
		value := getenv(name)
		if value == "" {
			missing = append(missing, name)
		}
		values = append(values, value)
	}
	switch len(missing) {
	case 0:
		if !cloudName.MatchString(values[0]) {
			return nil, errors.New("cloudinarystore: CLOUDINARY_CLOUD_NAME must be the name of the account alone: letters, digits, - and _")
		}
		u := url.URL{Scheme: "cloudinary", User: url.UserPassword(values[1], values[2]), Host: values[0]}
		return New(u.String())
	case len(names):
		return nil, ErrNotConfigured
	}
	return nil, fmt.Errorf("cloudinarystore: %s must be set too", strings.Join(missing, " and "))
}

var cloudName = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// New opens the account of a CLOUDINARY_URL. It makes no request. Its errors do
// not show the URL, which holds the secret.
func New(cloudinaryURL string) (*Store, error) {
	if strings.Contains(cloudinaryURL, "<your_") {
		return nil, errors.New("cloudinarystore: CLOUDINARY_URL still says <your_api_key> or <your_api_secret>: put yours there")
	}
	u, err := url.Parse(cloudinaryURL)
	if err != nil {
		return nil, errors.New("cloudinarystore: CLOUDINARY_URL is not a URL")
	}
	secret, _ := u.User.Password()
	key := u.User.Username()
	if u.Scheme != "cloudinary" || key == "" || secret == "" || !cloudName.MatchString(u.Host) {
		return nil, errors.New("cloudinarystore: CLOUDINARY_URL must be cloudinary://key:secret@cloud")
	}
	cloud, err := cloudinary.NewFromURL(cloudinaryURL)
	if err != nil {
		return nil, errors.New("cloudinarystore: CLOUDINARY_URL has a parameter with a wrong value")
	}
	cloud.Config.URL.Analytics = false
	cloud.Logger.SetLevel(logger.NONE) // its answers hold the key
	s := &Store{
		cloud:   cloud,
		base:    http.DefaultTransport.(*http.Transport).Clone(),
		secrets: strings.NewReplacer(secret, "***", url.QueryEscape(secret), "***", key, "***"),
	}
	s.cloud.Upload.Client = http.Client{
		Transport: &transport{s.base},
		// A redirect is a captive portal's, or a mistake: nothing is sent there.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return s, nil
}

// Close closes connections that are kept open.
func (s *Store) Close() { s.base.CloseIdleConnections() }

// Name names the account without its key.
func (s *Store) Name() string { return "cloudinary:" + s.cloud.Config.Cloud.CloudName }

// Origins returns the origins of the addresses that Put returns, such as
// https://res.cloudinary.com, for the content policy of pages.
func (s *Store) Origins() []string {
	origins := []string{"https://res.cloudinary.com"}
	config := s.cloud.Config
	if config.URL.PrivateCDN {
		origins = append(origins, "https://"+config.Cloud.CloudName+"-res.cloudinary.com")
	}
	if name := config.URL.SecureCName; name != "" {
		origins = append(origins, "https://"+name)
	}
	// Another API than Cloudinary's own delivers by itself.
	if u, err := url.Parse(config.API.UploadPrefix); err == nil && u.Host != "" && u.Hostname() != "cloudinary.com" && !strings.HasSuffix(u.Hostname(), ".cloudinary.com") {
		origins = append(origins, u.Scheme+"://"+u.Host)
	}
	return origins
}

// Put uploads a photo.
func (s *Store) Put(ctx context.Context, id uploads.PhotoID, photo *os.File) (string, error) {
	ctx, end := context.WithCancel(ctx)
	defer end()
	ctx, seen := watch(ctx)
	res, err := safely(func() (*uploader.UploadResult, error) {
		return s.cloud.Upload.Upload(ctx, photo, uploader.UploadParams{
			PublicID:  string(id),
			Overwrite: api.Bool(false), // the same hash is the same photo
		})
	})
	end()
	seen.wait()
	if res == nil {
		res = &uploader.UploadResult{}
	}
	if err := s.failure(seen, err, res.Error.Message); err != nil {
		return "", err
	}
	if res.PublicID != string(id) || !isPlace(res.SecureURL, id) {
		return "", &uploads.RemoteError{Status: seen.status, Message: "the answer does not say where the photo is"}
	}
	return res.SecureURL, nil
}

const longestPlace = 2048 // bytes; a usual one has 150

// isPlace tells whether browsers can be sent to an address for a photo. It goes
// into pages and headers, and one that is wrong once would stay.
func isPlace(address string, id uploads.PhotoID) bool {
	u, err := url.Parse(address)
	return err == nil && len(address) <= longestPlace &&
		(u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil && strings.Contains(u.Path, string(id))
}

// Delete deletes a photo, and what was made from it on the way to browsers.
func (s *Store) Delete(ctx context.Context, id uploads.PhotoID) error {
	ctx, seen := watch(ctx)
	res, err := safely(func() (*uploader.DestroyResult, error) {
		return s.cloud.Upload.Destroy(ctx, uploader.DestroyParams{PublicID: string(id), Invalidate: api.Bool(true)})
	})
	if res == nil {
		res = &uploader.DestroyResult{}
	}
	if err := s.failure(seen, err, res.Error.Message); err != nil {
		return err
	}
	switch res.Result {
	case "ok", "not found":
		return nil
	}
	return &uploads.RemoteError{Status: seen.status, Message: "the answer does not say that the photo is deleted"}
}

// safely makes an error of a panic. The SDK (v2.16.1) panics when an answer is
// the JSON null, and nothing that the cloud says may end the program.
func safely[T any](call func() (*T, error)) (res *T, err error) {
	defer func() {
		if v := recover(); v != nil {
			res, err = nil, fmt.Errorf("the SDK does not understand the answer: %v", v)
		}
	}()
	return call()
}

// failure makes an error of what the SDK returned and what came over the network,
// nil when both are well. The SDK does not look at the status.
func (s *Store) failure(seen *seen, err error, message string) error {
	switch {
	case seen.status == 0 || seen.status == http.StatusOK && err != nil:
		if err == nil {
			err = errors.New("no answer")
		}
		e := &uploads.RemoteError{Status: seen.status, Message: s.clean(err.Error())}
		for _, cause := range []error{context.Canceled, context.DeadlineExceeded} {
			if errors.Is(err, cause) {
				e.Message, e.Err = "", cause
			}
		}
		return e
	case message != "":
		return &uploads.RemoteError{Status: seen.status, RetryAfter: seen.retryAfter, Message: s.clean(message)}
	case seen.status != http.StatusOK:
		return &uploads.RemoteError{Status: seen.status, RetryAfter: seen.retryAfter, Message: http.StatusText(seen.status)}
	}
	return nil
}

// Of a wrong signature the API quotes what was signed, and how.
var signature = regexp.MustCompile(`(Invalid Signature)[^\n]*`)

// clean makes text of the API fit to be shown: no secrets, one line, not long.
func (s *Store) clean(text string) string {
	text = s.secrets.Replace(signature.ReplaceAllString(text, "$1"))
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
	if r := []rune(text); len(r) > 200 {
		text = string(r[:200]) + "…"
	}
	return text
}

// Sized returns where a photo is to be had in a width, in the format and the
// quality that suit the browser; never wider than it is. url is what Put
// returned; a width of 0 is the photo's own.
func Sized(url string, width int) string {
	how := "f_auto,q_auto"
	if width > 0 {
		how = "c_limit," + how + ",w_" + strconv.Itoa(width)
	}
	before, after, found := strings.Cut(url, "/upload/")
	if !found {
		return url
	}
	return before + "/upload/" + how + "/" + after
}
