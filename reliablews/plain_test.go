package reliablews

import (
	"reflect"
	"testing"
)

func TestPlainFramesAreReadAsOthersAre(t *testing.T) {
	for frame, plain := range map[string]bool{
		`{"t":"send","c":"k3j9x0","n":1,"m":"say","d":{"text":"hello"}}`: true,
		`{"t":"send","c":"k","n":900719925474099,"m":"a.b-c","d":null}`:  true,
		`{"t":"send","c":"k","n":12,"m":"say","d":"}"}`:                  true,
		`{"t":"send","c":"k","n":12,"m":"say"}`:                          false,
		`{"t":"send","c":"k","n":12,"m":"say","d":1,"pos":{"@":3}}`:      false,
		`{"t":"send","c":"k","n":12,"m":"say","d":1,"m":"other"}`:        false,
		`{"t":"send","c":"\u006b","n":12,"m":"say","d":1}`:               false,
		`{"t":"send","c":"k","n":012,"m":"say","d":1}`:                   false,
		`{"t":"send","c":"k","n":1.5,"m":"say","d":1}`:                   false,
		`{"t":"send","c":"k","n":0,"m":"say","d":1}`:                     false,
		`{"t":"send","c":"k","n":9007199254740993,"m":"say","d":1}`:      false,
		`{"t":"send","c":"","n":1,"m":"say","d":1}`:                      false,
		`{"t":"send","c":"k","n":1,"m":"say","d":}`:                      false,
		`{"t":"send","c":"k","n":1,"m":"say","d":1`:                      false,
		`{"t":"send","c":"k","n":1,"m":"say","d":`:                       false,
		`{"t":"send","c":"k","n":1,"m":"say","d":"` + "\xff" + `"}`:      true, // and refused as not being UTF-8
	} {
		if _, ok := plainSend([]byte(frame)); ok != plain {
			t.Errorf("%s: plain is %v", frame, ok)
		}
		same(t, []byte(frame))
	}
	for frame, want := range map[string]int64{
		`{"t":"pong","ts":1795543200000}`: 1795543200000, `{"t":"pong","ts":0}`: 0,
		`{"t":"pong","ts":-1}`: -1, `{"t":"pong","ts":}`: -1, `{"t":"pong","ts":1 }`: -1,
		`{"t":"pong","ts":1,"pos":{"@":1}}`: -1, `{"t":"pong","ts":9999999999999999}`: -1,
	} {
		if ts, ok := plainPong([]byte(frame)); ok != (want >= 0) || ok && ts != want {
			t.Errorf("%s: %d, %v", frame, ts, ok)
		}
	}
}

// same wants both ways of reading a frame to agree.
func same(t *testing.T, b []byte) {
	t.Helper()
	quick, quickErr := readClientFrame(b)
	f, err := decodeClientFrame(b)
	if (quickErr == nil) != (err == nil) || err == nil && !reflect.DeepEqual(quick, f) {
		t.Errorf("%q is read as %+v, %v and as %+v, %v", b, quick, quickErr, f, err)
	}
	if ts, ok := plainPong(b); ok && (err != nil || f.T != "pong" || f.TS != ts || f.Pos != nil) {
		t.Errorf("%q is no pong of %d: %+v, %v", b, ts, f, err)
	}
}
