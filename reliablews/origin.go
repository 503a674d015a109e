package reliablews

import (
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// sameOriginOr lets pages of the request's own host connect, those of the
// origins listed, and programs, which send no Origin.
func sameOriginOr(origins []string) func(*http.Request) bool {
	allowed := slices.Clone(origins)
	return func(r *http.Request) bool {
		origin := r.Header.Get("Origin")
		if origin == "" {
			return true
		}
		if u, err := url.Parse(origin); err == nil && strings.EqualFold(u.Host, r.Host) {
			return true
		}
		return slices.ContainsFunc(allowed, func(o string) bool { return strings.EqualFold(o, origin) })
	}
}

func remoteHost(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
