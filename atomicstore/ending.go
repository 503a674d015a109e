package atomicstore

import (
	"context"

	"github.com/contestkit/contestkit/atomicstore/internal/vfs"
)

// endingFS is a file system that is read until a context ends.
type endingFS struct {
	vfs.FS
	ctx context.Context
}

func (f endingFS) Names(dir string) ([]string, error) {
	if err := f.ctx.Err(); err != nil {
		return nil, err
	}
	return f.FS.Names(dir)
}

func (f endingFS) Read(path string) ([]byte, error) {
	if err := f.ctx.Err(); err != nil {
		return nil, err
	}
	return f.FS.Read(path)
}

func (f endingFS) Open(path string) (vfs.Reader, error) {
	if err := f.ctx.Err(); err != nil {
		return nil, err
	}
	r, err := f.FS.Open(path)
	if err != nil {
		return nil, err
	}
	return endingReader{r, f.ctx}, nil
}

type endingReader struct {
	vfs.Reader
	ctx context.Context
}

func (r endingReader) ReadAt(b []byte, offset int64) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.ReadAt(b, offset)
}
