module github.com/contestkit/contestkit/uploads/peerbench

go 1.26.0

require (
	github.com/contestkit/contestkit v0.0.0
	github.com/google/renameio/v2 v2.0.2
	github.com/h2non/bimg v1.1.9
)

require (
	github.com/bep/imagemeta v1.0.1 // indirect
	github.com/cenkalti/backoff/v4 v4.3.0 // indirect
	github.com/sony/gobreaker/v2 v2.4.0 // indirect
	golang.org/x/image v0.47.0 // indirect
	golang.org/x/text v0.43.0 // indirect
)

replace github.com/contestkit/contestkit => ../..
