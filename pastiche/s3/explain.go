package s3

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"strings"

	"github.com/minio/minio-go/v7"

	"fulcrum.example/crux"
)

// explain turns what minio-go returned into one line with a kind and a remedy.
func (s *Store) explain(op string, err error) error {
	var ours *crux.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &ours):
		return crux.Wrap(op, ours)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return crux.Errorf(op, crux.KindOf(err), "%s: %w", s.cfg, err)
	}
	var resp minio.ErrorResponse
	if errors.As(err, &resp) {
		return s.explainResponse(op, resp)
	}
	return s.explainNetwork(op, err)
}

func (s *Store) explainResponse(op string, resp minio.ErrorResponse) error {
	bucket, at := s.cfg.Bucket, s.cfg.Endpoint
	switch resp.Code {
	case minio.NoSuchBucket:
		return crux.Errorf(op, crux.NotFound, "there is no bucket %s at %s: make it, or name another", bucket, at)
	case minio.NoSuchKey:
		return crux.Errorf(op, crux.NotFound, "%s holds no such artifact: publish it first", s.cfg)
	case "InvalidAccessKeyId", "XAdminUserNotFound", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken":
		return crux.Errorf(op, crux.Unknown, "%s does not accept the credentials for bucket %s (%s): check the access key and the secret key",
			at, bucket, resp.Code)
	case minio.AccessDenied:
		return crux.Errorf(op, crux.Denied, "the credentials may not use bucket %s at %s: allow them to list, read and write it", bucket, at)
	case "AuthorizationHeaderMalformed", "PermanentRedirect":
		return crux.Errorf(op, crux.Invalid, "bucket %s at %s is in another region: %s", bucket, at, resp.Message)
	case "XMinioStorageFull", "QuotaExceeded":
		return crux.Errorf(op, crux.Exhausted, "no space left in bucket %s at %s: free some", bucket, at)
	}
	kind := crux.Internal
	switch {
	case resp.StatusCode >= http.StatusInternalServerError, resp.StatusCode == http.StatusTooManyRequests:
		kind = crux.Unavailable
	case resp.StatusCode == http.StatusForbidden:
		kind = crux.Denied
	case resp.StatusCode >= http.StatusBadRequest:
		kind = crux.Invalid
	}
	return crux.Errorf(op, kind, "%s refused: %s (%s)", s.cfg, strings.TrimSuffix(resp.Message, "."), resp.Code)
}

func (s *Store) explainNetwork(op string, err error) error {
	bucket, at := s.cfg.Bucket, s.cfg.Endpoint
	var unverified *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	switch {
	case errors.As(err, &unverified), errors.As(err, &authority):
		return crux.Errorf(op, crux.Unavailable, "the certificate of %s (bucket %s) is not trusted: give its authority's certificate (%w)", at, bucket, err)
	case strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return crux.Errorf(op, crux.Unavailable, "%s (bucket %s) does not speak TLS: if that is meant, write the endpoint as http://", at, bucket)
	}
	return crux.Errorf(op, crux.Unavailable, "%s (bucket %s) cannot be reached: check the endpoint and that the server runs (%w)", at, bucket, err)
}
