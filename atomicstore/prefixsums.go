package atomicstore

import (
	"errors"
	"hash/crc32"
	"io"
)

// prefixSums are the CRC-32C of a file from its start up to many places. With
// them the checksum of any part of it takes the same short time.
type prefixSums []uint32 // up to each multiple of sumEvery

// sumEvery is how far apart the sums are, in bytes: they take a sixteenth of
// the memory of the file.
const sumEvery = 64

func sumPrefixes(r io.ReaderAt, size int64) (prefixSums, error) {
	p := make(prefixSums, 1, size/sumEvery+1)
	buf := make([]byte, min(windowBytes, size))
	sum := uint32(0)
	for offset := int64(0); offset < size; {
		n, err := r.ReadAt(buf[:min(int64(len(buf)), size-offset)], offset)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		for b := buf[:n]; len(b) >= sumEvery; b = b[sumEvery:] {
			sum = crc32.Update(sum, castagnoli, b[:sumEvery])
			p = append(p, sum)
		}
		if err != nil {
			break
		}
		offset += int64(n)
	}
	return p, nil
}

// upTo returns the checksum of the file up to an offset; w is on the file.
func (p prefixSums) upTo(w *window, offset int64) (uint32, error) {
	i := min(offset/sumEvery, int64(len(p)-1))
	rest, err := w.at(i*sumEvery, int(offset-i*sumEvery))
	if err != nil {
		return 0, err
	}
	return crc32.Update(p[i], castagnoli, rest), nil
}

// shiftSum returns the checksum of data with n zero bytes behind it, less that
// of the zeros, given that of the data: the polynomial of the data times x to
// the power of 8n (as crc32_combine of zlib does).
func shiftSum(sum uint32, n int64) uint32 {
	for i := 0; n > 0; i, n = i+1, n>>1 {
		if n&1 != 0 {
			sum = multiply(sum, zeroBytes[i])
		}
	}
	return sum
}

// zeroBytes are x to the power of 8 times 2, 4, 8 and so on, modulo the polynomial.
var zeroBytes = func() (powers [63]uint32) {
	powers[0] = 1 << (31 - 8) // x to the power of 8; the highest bit is the power of 0
	for i := 1; i < len(powers); i++ {
		powers[i] = multiply(powers[i-1], powers[i-1])
	}
	return powers
}()

// multiply multiplies two polynomials modulo that of CRC-32C.
func multiply(a, b uint32) (product uint32) {
	for ; a != 0; a <<= 1 {
		if a>>31 != 0 {
			product ^= b
		}
		b = b>>1 ^ crc32.Castagnoli&-(b&1)
	}
	return product
}
