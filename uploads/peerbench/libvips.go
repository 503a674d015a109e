//go:build cgo && vips

package main

/*
#cgo pkg-config: vips
#include <vips/vips.h>

// photo_upright makes a JPEG of a JPEG. *out is to be freed with g_free.
static int photo_upright(void *in, size_t size, int quality, void **out, size_t *out_size) {
	VipsImage *photo = NULL, *pixels = NULL, *turned = NULL;
	int failed = vips_jpegload_buffer(in, size, &photo, "access", VIPS_ACCESS_SEQUENTIAL, NULL);
	// Rows become columns: all of them must be there.
	if (!failed && vips_image_get_orientation(photo) > 1) {
		pixels = vips_image_copy_memory(photo);
		failed = pixels == NULL || vips_autorot(pixels, &turned, NULL);
	}
	if (!failed)
		failed = vips_jpegsave_buffer(turned ? turned : photo, out, out_size,
			"Q", quality, "strip", TRUE, "subsample_mode", VIPS_FOREIGN_SUBSAMPLE_ON, NULL);
	if (turned) g_object_unref(turned);
	if (pixels) g_object_unref(pixels);
	if (photo) g_object_unref(photo);
	return failed;
}

// photo_error returns what went wrong in this thread, to be freed with g_free.
static char *photo_error(void) { return vips_error_buffer_copy(); }
*/
import "C"

import (
	"errors"
	"runtime"
	"unsafe"
)

// upright uses libvips, which bimg has started, without bimg.
func upright(photo []byte) ([]byte, error) {
	if len(photo) == 0 {
		return nil, errors.New("libvips: an empty file")
	}
	// What libvips keeps for a thread goes with it, as in bimg.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer C.vips_thread_shutdown()
	var out unsafe.Pointer
	var size C.size_t
	if C.photo_upright(unsafe.Pointer(&photo[0]), C.size_t(len(photo)), quality, &out, &size) != 0 {
		text := C.photo_error()
		defer C.g_free(C.gpointer(text))
		return nil, errors.New("libvips: " + C.GoString(text))
	}
	defer C.g_free(C.gpointer(out))
	return C.GoBytes(out, C.int(size)), nil
}
