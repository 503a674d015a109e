package uploads

import (
	"bytes"
	"net/http"
)

// format is a type of picture that is taken.
type format int

const (
	formatJPEG format = iota + 1
	formatPNG
	formatGIF
	formatWebP
)

// sniffBytes is how much of a file sniff wants to see.
const sniffBytes = 512

// sniff tells the format from the first bytes. Names and headers are never
// asked, and the answer is only a guess at which decoder to try: the whole file
// must decode. It returns ErrUnsupportedType or ErrNotAnImage.
func sniff(head []byte) (format, error) {
	switch {
	case bytes.HasPrefix(head, []byte("\xff\xd8")):
		return formatJPEG, nil
	case bytes.HasPrefix(head, []byte("\x89PNG\r\n\x1a\n")):
		return formatPNG, nil
	case bytes.HasPrefix(head, []byte("GIF87a")), bytes.HasPrefix(head, []byte("GIF89a")):
		return formatGIF, nil
	case len(head) >= 12 && string(head[:4]) == "RIFF" && string(head[8:12]) == "WEBP":
		return formatWebP, nil
	}
	if t := unsupported(head); t != "" {
		return 0, &UnsupportedTypeError{t}
	}
	return 0, refuse(ErrNotAnImage, "", nil)
}

// unsupported names types that people send, so that they hear what to do.
func unsupported(head []byte) string {
	if len(head) >= 12 && string(head[4:8]) == "ftyp" { // ISO/IEC 14496-12
		switch string(head[8:12]) {
		case "heic", "heix", "heim", "heis", "hevc", "hevx", "mif1", "msf1":
			return "image/heic"
		case "avif", "avis":
			return "image/avif"
		}
		return "video/mp4"
	}
	text := bytes.ToLower(bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\ufeff")), " \t\r\n"))
	switch {
	case bytes.HasPrefix(head, []byte("II*\x00")), bytes.HasPrefix(head, []byte("MM\x00*")):
		return "image/tiff"
	case bytes.HasPrefix(head, []byte("\xff\x0a")), bytes.HasPrefix(head, []byte("\x00\x00\x00\x0cJXL ")):
		return "image/jxl"
	case bytes.HasPrefix(text, []byte("<")) && bytes.Contains(text, []byte("<svg")):
		return "image/svg+xml"
	}
	switch t := http.DetectContentType(head); t {
	case "image/bmp", "image/x-icon", "application/pdf":
		return t
	}
	return ""
}
