// Package s3 is an artifact store on an S3 server (AWS S3, MinIO, versitygw and
// the like), reached through minio-go. An artifact is the object
// PREFIX/sha256/HEX of a bucket.
//
// Guarantees: an object appears only after all its bytes were hashed and
// matched; buckets are addressed by path; what the server says in trouble comes
// back as one line that names bucket and endpoint and says what to do: NotFound
// for a bucket or object that is not there, Unknown for credentials that the
// server does not know, Denied for those that may not, Unavailable for a server
// that cannot be reached. Secrets are in no error and no log. What is read was
// not verified: the reader hashes it.
//
// All methods may be called from any goroutine.
package s3
