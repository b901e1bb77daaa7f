package operator

import (
	"context"

	"fulcrum.example/crux"
	"fulcrum.example/crux/wire"
	"fulcrum.example/protos/admin"
)

// Intent is one intent, and how far it is met.
type Intent struct {
	crux.Intent
	Version uint64 `json:"version"` // raised by each rollout of the API
	Serving int    `json:"serving"` // endpoints of Inst that serve
	Other   int    `json:"other"`   // endpoints of other versions of the API that are still there
}

// Intents lists what should run, sorted by name.
func (c *Client) Intents(ctx context.Context) ([]Intent, error) {
	docs, err := c.docs(ctx, crux.IntentDoc)
	if err != nil {
		return nil, err
	}
	list := make([]Intent, 0, len(docs))
	for _, d := range docs {
		want, err := d.Intent()
		if err != nil {
			return nil, err
		}
		rows, err := c.Services(ctx, crux.Selector{Horde: want.Horde, API: want.API})
		if err != nil {
			return nil, err
		}
		i := Intent{Intent: want, Version: d.Version}
		for _, r := range rows {
			switch {
			case r.Inst != want.Inst:
				i.Other++
			case r.Status == crux.Serving.String():
				i.Serving++
			}
		}
		list = append(list, i)
	}
	return list, nil
}

// Inventory lists what is published, sorted by name.
func (c *Client) Inventory(ctx context.Context) ([]crux.Function, error) {
	docs, err := c.docs(ctx, crux.MusterDoc)
	if err != nil {
		return nil, err
	}
	list := make([]crux.Function, 0, len(docs))
	for _, d := range docs {
		f, err := d.Function()
		if err != nil {
			return nil, err
		}
		list = append(list, f)
	}
	return list, nil
}

// docs lists the documents of a kind.
func (c *Client) docs(ctx context.Context, kind crux.DocKind) ([]crux.Doc, error) {
	r, err := c.rpc.Docs(ctx, &admin.DocsRequest{Kind: string(kind)})
	if err != nil {
		return nil, c.said(err)
	}
	list := make([]crux.Doc, 0, len(r.GetDocs()))
	for _, m := range r.GetDocs() {
		d, err := wire.DocFrom(m)
		if err != nil {
			return nil, err
		}
		list = append(list, d)
	}
	return list, nil
}
