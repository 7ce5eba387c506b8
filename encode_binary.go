package postrider

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

// base64Line is the number of octets that make a line of 76 characters (RFC 2045 s. 6.8).
const base64Line = 57

// base64 writes data in lines, with CRLF between them, and counts on being called with whole lines
// until the last call.
func (o *output) base64(data []byte) {
	for len(data) >= base64Line {
		dst := o.space(78)
		encodeLine(dst[:78], data[:base64Line])
		o.used(78)
		data = data[base64Line:]
	}
	if len(data) > 0 {
		n := base64.StdEncoding.EncodedLen(len(data))
		dst := o.space(n + 2)
		base64.StdEncoding.Encode(dst[:n], data)
		dst[n], dst[n+1] = '\r', '\n'
		o.used(n + 2)
	}
}

// encodeLine encodes a full line. It takes six octets at a time, in four steps of twelve bits, which is about
// twice as fast as the standard library's four steps of six bits for each three octets.
func encodeLine(dst, src []byte) {
	_, _ = dst[77], src[56]
	i, j := 0, 0
	for ; i < 54; i, j = i+6, j+8 {
		v := binary.BigEndian.Uint64(src[i:]) // the two octets too many are not looked at
		binary.LittleEndian.PutUint64(dst[j:], uint64(pairs[v>>52])|uint64(pairs[v>>40&0xfff])<<16|
			uint64(pairs[v>>28&0xfff])<<32|uint64(pairs[v>>16&0xfff])<<48)
	}
	v := uint32(src[54])<<16 | uint32(src[55])<<8 | uint32(src[56])
	binary.LittleEndian.PutUint32(dst[72:], uint32(pairs[v>>12])|uint32(pairs[v&0xfff])<<16)
	dst[76], dst[77] = '\r', '\n'
}

// pairs are the two characters for each twelve bits.
var pairs = func() (t [4096]uint16) {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	for i := range t {
		t[i] = uint16(alphabet[i>>6]) | uint16(alphabet[i&63])<<8
	}
	return t
}()

// base64Text writes a text in its canonical form, with CRLF line ends (RFC 2046 s. 4.1.1).
func (o *output) base64Text(s string) {
	buf, n := o.buffer()[:chunkSize/base64Line*base64Line], 0
	put := func(p string) {
		for p != "" {
			c := copy(buf[n:], p)
			n, p = n+c, p[c:]
			if n == len(buf) {
				o.base64(buf)
				n = 0
			}
		}
	}
	for s != "" {
		i := strings.IndexByte(s, '\n')
		if i < 0 {
			put(s)
			break
		}
		if i > 0 && s[i-1] == '\r' {
			put(s[:i-1])
		} else {
			put(s[:i])
		}
		put("\r\n")
		s = s[i+1:]
	}
	o.base64(buf[:n])
}

// errSize says that a source had more or fewer octets than promised.
type errSize struct{ got, want int64 }

func (e errSize) Error() string {
	if e.got > e.want {
		return fmt.Sprintf("more than the %d octets expected: the source has grown, or the size is wrong", e.want)
	}
	return fmt.Sprintf("%d octets instead of %d: the source has shrunk, or the size is wrong", e.got, e.want)
}

// base64From writes all that r yields, which must be size octets unless size is negative. It reads no
// octet twice and holds no more than a buffer of it.
func (o *output) base64From(r io.Reader, size int64) error {
	return readBlocks(r, o.buffer()[:chunkSize/base64Line*base64Line], size, func(p []byte) error {
		o.base64(p)
		return o.err
	})
}

// readBlocks reads r to its end and hands it out in full blocks of len(buf), the last one excepted.
func readBlocks(r io.Reader, buf []byte, size int64, block func([]byte) error) error {
	var total int64
	n, idle := 0, 0
	for {
		k, err := r.Read(buf[n:])
		if k < 0 || k > len(buf)-n {
			return errors.New("the reader returns impossible counts")
		}
		n += k
		total += int64(k)
		if size >= 0 && total > size {
			return errSize{total, size}
		}
		if n == len(buf) || err == io.EOF && n > 0 {
			if err := block(buf[:n]); err != nil {
				return err
			}
			n = 0
		}
		switch {
		case err == io.EOF && size >= 0 && total < size:
			return errSize{total, size}
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		case k > 0:
			idle = 0
		default:
			if idle++; idle == 100 {
				return io.ErrNoProgress
			}
		}
	}
}
