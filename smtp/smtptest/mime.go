package smtptest

import (
	"encoding/base64"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"strings"
)

// leaves walks a MIME tree. get reads header fields of the entity whose body is r.
func leaves(get func(string) string, r io.Reader, depth int) ([]Part, error) {
	if depth > 20 {
		return nil, errors.New("smtptest: MIME tree too deep")
	}
	contentType := get("Content-Type")
	if contentType == "" {
		contentType = "text/plain"
	}
	mediaType, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(mediaType, "multipart/") {
		return multipartLeaves(multipart.NewReader(r, params["boundary"]), depth)
	}
	part := Part{Type: mediaType, Name: params["name"], ContentID: strings.Trim(get("Content-ID"), " <>")}
	if d, p, err := mime.ParseMediaType(get("Content-Disposition")); err == nil {
		part.Disposition = d
		if p["filename"] != "" {
			part.Name = p["filename"]
		}
	}
	part.Name = decodeWords(part.Name)
	switch strings.ToLower(strings.TrimSpace(get("Content-Transfer-Encoding"))) {
	case "base64":
		r = base64.NewDecoder(base64.StdEncoding, r)
	case "quoted-printable":
		r = quotedprintable.NewReader(r)
	}
	part.Body, err = io.ReadAll(r)
	return []Part{part}, err
}

func multipartLeaves(mr *multipart.Reader, depth int) ([]Part, error) {
	var all []Part
	for {
		p, err := mr.NextRawPart()
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		below, err := leaves(p.Header.Get, p, depth+1)
		all = append(all, below...)
		if err != nil {
			return all, err
		}
	}
}

func decodeWords(s string) string {
	var d mime.WordDecoder
	if decoded, err := d.DecodeHeader(s); err == nil {
		return decoded
	}
	return s
}
