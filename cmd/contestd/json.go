package main

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
)

const maxJSON = 256 << 10 // bytes; fifty categories of winners stay far below

// readJSON decodes the body of a request into v.
func readJSON(w http.ResponseWriter, r *http.Request, v any) error {
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || mediaType != "application/json" {
		return refuse(http.StatusUnsupportedMediaType, "Send JSON, with Content-Type: application/json.")
	}
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxJSON))
	if err := dec.Decode(v); err != nil {
		return jsonError(err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return refuse(http.StatusBadRequest, "Send one JSON value and nothing after it.")
	}
	return nil
}

func jsonError(err error) error {
	var tooLong *http.MaxBytesError
	var wrongType *json.UnmarshalTypeError
	switch {
	case errors.As(err, &tooLong):
		return refuse(http.StatusRequestEntityTooLarge, "The request is too large.")
	case errors.As(err, &wrongType) && wrongType.Field != "":
		return refuseField(http.StatusBadRequest, wrongType.Field, "This field has the wrong type.")
	}
	return &problem{Status: http.StatusBadRequest, Detail: "The body is not valid JSON of the expected shape.", cause: err}
}

// writeJSON answers with v.
func writeJSON(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(body, '\n')) // an error here means that the client is gone
	return nil
}
