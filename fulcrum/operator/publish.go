package operator

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/crux/wire"
	"fulcrum.example/protos/admin"
)

// Published is what Publish did.
type Published struct {
	crux.Function
	Stored string // where the artifact is, for people
	Again  bool   // it was published already, with the same bytes
}

// Publish uploads the file at path and enters it in the inventory as function
// fn of inst. Publishing the same again is no error; another binary under a
// published version is refused (Exists).
func (c *Client) Publish(ctx context.Context, path string, horde crux.Horde, inst crux.Inst, fn string, keys []ed25519.PrivateKey) (Published, error) {
	kind, err := kindOf(path)
	if err != nil {
		return Published{}, err
	}
	sum, size, err := hashFile(path)
	if err != nil {
		return Published{}, err
	}
	p := Published{Function: crux.Function{
		Horde: horde, API: inst.API(), Inst: inst, Kind: kind, File: filepath.Base(path),
		Checksum: sum, Size: size, Func: fn, Timestamp: time.Now().UTC().Truncate(time.Millisecond),
	}}
	key := crux.DocKey{Kind: crux.MusterDoc, Name: crux.MusterName(horde, inst)}
	old, err := c.doc(ctx, key)
	if err != nil {
		return Published{}, err
	}
	if old != nil {
		have, err := old.Function()
		if err != nil {
			return Published{}, err
		}
		if have.Checksum != sum || have.Func != fn || have.Kind != kind {
			return Published{}, crux.Errorf("publish", crux.Exists,
				"%s is published already, as %s with checksum %.12s: give the new binary a new version", inst, have.File, have.Checksum)
		}
		p.Again = true
	}
	if p.Stored, err = c.upload(ctx, path, p.Function); err != nil {
		return Published{}, err
	}
	if !p.Again {
		err = c.signAndPropose(ctx, key, 1, p.Function, keys)
	}
	return p, err
}

// upload streams the file to the node.
func (c *Client) upload(ctx context.Context, path string, f crux.Function) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", crux.Errorf("publish", crux.NotFound, "%w", err)
	}
	defer file.Close()
	s, err := c.rpc.Upload(ctx)
	if err != nil {
		return "", c.said(err)
	}
	// A failed Send only says that the stream ended; CloseAndRecv says why.
	err = s.Send(&admin.UploadChunk{Checksum: f.Checksum[:], Size: f.Size})
	buf := make([]byte, 64<<10)
	for err == nil {
		var n int
		n, err = file.Read(buf)
		if n > 0 {
			if s.Send(&admin.UploadChunk{Data: bytes.Clone(buf[:n])}) != nil {
				err = io.EOF
			}
		}
	}
	if !errors.Is(err, io.EOF) {
		return "", crux.Errorf("publish", crux.Internal, "%s: %w", path, err)
	}
	r, err := s.CloseAndRecv()
	return r.GetStored(), c.said(err)
}

// doc finds a document; nil if there is none.
func (c *Client) doc(ctx context.Context, k crux.DocKey) (*crux.Doc, error) {
	r, err := c.rpc.GetDoc(ctx, wire.DocKeyTo(k))
	if err = c.said(err); err != nil {
		if crux.KindOf(err) == crux.NotFound {
			return nil, nil
		}
		return nil, err
	}
	d, err := wire.DocFrom(r)
	return &d, err
}

// signAndPropose signs a document with the operator's keys and hands it to the
// group. Without keys it is left to the node, whose own key counts where the
// bloc lists no publishers.
func (c *Client) signAndPropose(ctx context.Context, k crux.DocKey, version uint64, body any, keys []ed25519.PrivateKey) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	d := crux.Doc{DocKey: k, Version: version, Body: b}
	p, err := c.rpc.Publishers(ctx, &admin.PublishersRequest{})
	if err != nil {
		return c.said(err)
	}
	if len(p.GetKeys()) > 0 && len(keys) < int(p.GetNeed()) {
		return crux.Errorf("sign "+k.Name, crux.Denied,
			"bloc %s wants the signatures of %d of its %d publishers: give each one's key file with --sign-key or FULCRUM_SIGN_KEY",
			p.GetBloc(), p.GetNeed(), len(p.GetKeys()))
	}
	msg := crux.Labelled(k.Kind.Label(), d.SignedBytes(crux.BlocID(p.GetBloc())))
	for _, key := range keys {
		d.Signatures = append(d.Signatures, crux.DocSignature{
			Key: key.Public().(ed25519.PublicKey), Sig: ed25519.Sign(key, msg),
		})
	}
	_, err = c.rpc.Propose(ctx, wire.DocTo(&d))
	return c.said(err)
}
