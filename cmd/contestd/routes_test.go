package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
)

// ask puts a request to an app that does not listen.
func ask(a *app, method, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	a.handler().ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return w
}

// shape reduces a JSON value to what it is made of: {"id":"string"} for an
// object, a list's first element for the list.
func shape(v any) any {
	switch v := v.(type) {
	case map[string]any:
		m := map[string]any{}
		for k, x := range v {
			m[k] = shape(x)
		}
		return m
	case []any:
		if len(v) == 0 {
			return []any{}
		}
		return []any{shape(v[0])}
	case string:
		return "string"
	case float64:
		return "number"
	case bool:
		return "bool"
	}
	return nil
}

func shapeOf(t *testing.T, text string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return shape(v)
}

// TestRoutesAnswerAsTheOldServerDid looks at every route that pages, scripts
// and dashboards of the old server call.
func TestRoutesAnswerAsTheOldServerDid(t *testing.T) {
	s := startServer(t, t.TempDir(), 0)
	stranger, organiser := s.visitor(), s.organiser()
	a := stranger.submit(newEntry("one"), jpegPhoto(t, 1))
	if a.Status != http.StatusCreated {
		t.Fatal(a)
	}
	const publicEntry = `{"id":"","number":0,"category":"","caption":"","imageUrl":"","width":0,"height":0,"artist":"","createdAt":0}`
	got := shapeOf(t, string(a.Body))
	if want := shapeOf(t, `{"success":true,"entry":`+publicEntry+`,"storageMethod":"","submissionId":"","persistenceConfirmed":true,"transactionId":"","position":{"epoch":"","seq":0}}`); !reflect.DeepEqual(got, want) {
		t.Errorf("POST /api/submit answers %s", a)
	}
	id := a.json(t)["submissionId"].(string)
	if a := organiser.post("/api/save-winners", map[string]any{"winners": map[string]any{"best": []string{id}}}); a.Status != http.StatusOK || a.json(t)["success"] != true {
		t.Errorf("POST /api/save-winners answers %s", a)
	}
	if a := organiser.post("/api/categories", map[string]any{"categories": []any{
		map[string]any{"id": "worst", "name": "Worst Tattoo"}, map[string]any{"id": "best", "name": "Best Tattoo"}, map[string]any{"id": "small", "name": "Smallest"},
	}}); a.Status != http.StatusOK || a.json(t)["success"] != true {
		t.Errorf("POST /api/categories answers %s", a)
	}

	const winner = `{"id":"","caption":"","imageUrl":""}`
	for _, test := range []struct {
		path string
		want string
	}{
		{"/categories.json", `[{"id":"","name":""}]`},
		{"/api/feed", `{"feed":{"worst":[],"best":[` + publicEntry + `],"small":[]},"winnersAvailable":true}`},
		{"/api/winners", `{"winners":{"worst":[],"best":[` + winner + `],"small":[]},"winnersAvailable":true}`},
		{"/ready", `{"ready":true}`},
		{"/api/realtime-health", `{"status":"","activeConnections":0,"totalConnected":0,"messageQueueSize":0,"averageLatency":0,"uptime":0,"lastHeartbeat":0}`},
		{"/api/realtime-fallback", `{"available":true,"degraded":false,"recommendations":[],"fallbackMode":""}`},
		{"/api/realtime-metrics", `{"activeConnections":0,"totalConnected":0,"queuedMessages":0,"averageLatency":0,"reconnectionAttempts":0,"heartbeatFailures":0,"uptime":0}`},
		{"/health", `{"status":"","uptime":0,"timestamp":""}`},
	} {
		a := stranger.get(test.path)
		if a.Status != http.StatusOK || a.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s answers %d, %s", test.path, a.Status, a.Header.Get("Content-Type"))
		}
		if got, want := shapeOf(t, string(a.Body)), shapeOf(t, test.want); !reflect.DeepEqual(got, want) {
			t.Errorf("%s answers %s, want the shape %s", test.path, a.Body, test.want)
		}
		if a.Header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s is not readable from other origins", test.path)
		}
	}
	if a := stranger.get("/api/metrics"); a.Status != http.StatusOK || a.json(t)["requests"] == nil || a.json(t)["store"] == nil {
		t.Errorf("/api/metrics answers %s", a)
	}

	a = organiser.get("/api/submissions")
	best, _ := a.json(t)["submissions"].(map[string]any)["best"].([]any)
	if len(best) != 1 {
		t.Fatalf("/api/submissions answers %s", a)
	}
	for field, want := range map[string]string{"id": id, "caption": "one", "name": "Ada Example", "phone": "+49 170 5550100", "category": "best", "storageMethod": "local-primary", "submissionId": id} {
		if got := best[0].(map[string]any)[field]; got != want {
			t.Errorf("/api/submissions: %s is %v, want %s", field, got, want)
		}
	}
	if url, _ := best[0].(map[string]any)["imageUrl"].(string); stranger.get(url).Status != http.StatusOK {
		t.Errorf("the photo at %s is not there", url)
	}
}

func TestPages(t *testing.T) {
	s := startServer(t, t.TempDir(), 0)
	v := s.visitor()
	for path, want := range map[string]string{"/": "text/html; charset=utf-8", "/winners.html": "text/html; charset=utf-8", "/admin": "text/html; charset=utf-8", "/reliablews.js": "text/javascript; charset=utf-8"} {
		a := v.get(path)
		if a.Status != http.StatusOK || a.Header.Get("Content-Type") != want {
			t.Errorf("%s answers %d, %s", path, a.Status, a.Header.Get("Content-Type"))
		}
		for _, name := range []string{"Content-Security-Policy", "X-Content-Type-Options", "Referrer-Policy", "Permissions-Policy", "Cross-Origin-Opener-Policy"} {
			if a.Header.Get(name) == "" {
				t.Errorf("%s has no %s", path, name)
			}
		}
	}
	for from, to := range map[string]string{"/admin.html": "/admin", "/winners": "/winners.html"} {
		if a := v.get(from); a.Status != http.StatusMovedPermanently || a.Header.Get("Location") != to {
			t.Errorf("%s answers %d to %q, want %q", from, a.Status, a.Header.Get("Location"), to)
		}
	}
}

// TestRefusals looks at what a request that cannot be served is told.
func TestRefusals(t *testing.T) {
	s := startServer(t, t.TempDir(), 0)
	visitor, organiser := s.visitor(), s.organiser()
	id := visitor.mustSubmit(newEntry("one"), jpegPhoto(t, 1))
	winners := func(c string, ids ...string) map[string]any {
		return map[string]any{"winners": map[string]any{c: ids}}
	}
	for name, test := range map[string]struct {
		got   answer
		want  int
		field string
	}{
		"no such page":               {visitor.get("/nothing"), 404, ""},
		"no such API":                {visitor.get("/api/nothing"), 404, ""},
		"wrong method":               {visitor.do("DELETE", "/api/feed", "", nil), 405, ""},
		"a stranger reads":           {visitor.get("/api/submissions"), 401, ""},
		"a stranger picks":           {visitor.post("/api/save-winners", winners("best", id)), 401, ""},
		"a stranger edits":           {visitor.post("/api/categories", map[string]any{"categories": []any{}}), 401, ""},
		"a stranger hides":           {visitor.post("/api/hide", map[string]any{"id": id}), 401, ""},
		"wrong password":             {visitor.post("/api/login", map[string]any{"password": "guess"}), 401, "password"},
		"wrong user":                 {visitor.post("/api/login", map[string]any{"username": "root", "password": testPassword}), 401, "password"},
		"login without JSON":         {visitor.do("POST", "/api/login", "text/plain", strings.NewReader("x")), 415, ""},
		"login that breaks off":      {visitor.do("POST", "/api/login", "application/json", strings.NewReader(`{"pass`)), 400, ""},
		"a password of a wrong type": {visitor.post("/api/login", map[string]any{"password": 1}), 400, "password"},
		"unknown winner":             {organiser.post("/api/save-winners", winners("best", "nobody")), 404, ""},
		"unknown category":           {organiser.post("/api/save-winners", winners("nothing", id)), 400, "category"},
		"too many winners":           {organiser.post("/api/save-winners", winners("best", id, "a", "b")), 400, ""},
		"no winners at all":          {organiser.post("/api/save-winners", map[string]any{}), 400, "winners"},
		"hide nobody":                {organiser.post("/api/hide", map[string]any{"id": "nobody"}), 404, ""},
		"from another site":          {visitor.do("POST", "/api/login", "application/json", strings.NewReader("{}"), "Origin", "https://elsewhere.example", "Sec-Fetch-Site", "cross-site"), 403, ""},
	} {
		if test.got.Status != test.want {
			t.Errorf("%s: got %s, want %d", name, test.got, test.want)
			continue
		}
		if test.want == 403 {
			continue // http.CrossOriginProtection answers by itself
		}
		p := test.got.json(t)
		if test.got.Header.Get("Content-Type") != "application/problem+json" || p["error"] != p["detail"] || p["error"] == "" || p["status"] != float64(test.want) || p["requestId"] == "" {
			t.Errorf("%s: not the form of a problem: %s", name, test.got)
		}
		if test.field != "" {
			errs, _ := p["errors"].([]any)
			if len(errs) != 1 || errs[0].(map[string]any)["field"] != test.field {
				t.Errorf("%s: names the fields %v, want %s", name, errs, test.field)
			}
		}
	}
	if a := visitor.do("DELETE", "/api/feed", "", nil); a.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("Allow is %q", a.Header.Get("Allow"))
	}
}
