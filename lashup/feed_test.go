package lashup

import (
	"slices"
	"testing"
	"time"

	"fulcrum.example/crux"
	"fulcrum.example/crux/rpc/fabric"
	"fulcrum.example/lashup/node"
	"fulcrum.example/lashup/replica"
	"fulcrum.example/lashup/route"
)

func TestHowMembersCountForTheStore(t *testing.T) {
	t.Parallel()
	now := time.Now()
	away := func(d time.Duration) node.Member {
		return node.Member{State: route.Down, Since: now.Add(-d)}
	}
	for name, c := range map[string]struct {
		member  node.Member
		evicted bool
		want    replica.Standing
	}{
		"up":             {node.Member{State: route.Up, Since: now.Add(-2 * absentAfter)}, false, replica.Stable},
		"away":           {away(absentAfter), false, replica.Stable},
		"away for long":  {away(absentAfter + time.Second), false, replica.Absent},
		"never heard of": {node.Member{State: route.Unknown, Since: now}, false, replica.Stable},
		"evicted":        {node.Member{}, true, replica.Evicted},
	} {
		c.member.ID = crux.NodeID{2}
		v := &node.View{Members: []node.Member{{ID: crux.NodeID{1}, State: route.Up, Since: now}}}
		if c.evicted {
			v.Evicted = []crux.NodeID{c.member.ID}
		} else {
			v.Members = append(v.Members, c.member)
		}
		want := []replica.Member{{ID: crux.NodeID{1}, Standing: replica.Stable}, {ID: c.member.ID, Standing: c.want}}
		if got := standings(v, now); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

func TestAnEvictedNodesNamespaceGoesAndComesBackWithIt(t *testing.T) {
	t.Parallel()
	b := newBloc(t, 3)
	var clients []*fabric.Client
	for _, h := range b.hosts {
		h.run("lashup1_0")
		clients = append(clients, h.client())
	}
	b.formed(clients, 3)
	ctx := soon(t)
	own := clients[2].Own("vips")
	must(t, clients[2].Set(own...).Add(ctx, "10.1.1.1:80"))
	must(t, clients[2].Counter("calls").Incr(ctx, 3))
	there := func(what string, want int) {
		t.Helper()
		for _, c := range clients[:2] {
			eventually(t, what, func() bool {
				s, err := c.Set(own...).Elements(ctx)
				n, err2 := c.Counter("calls").Value(ctx)
				return len(s) == want && n == 3 && err == nil && err2 == nil
			})
		}
	}
	there("what it wrote", 1)

	b.members.Evict(b.hosts[2].member.ID)
	there("its own keys to be gone, and the others to stay", 0)
	b.formed(clients[:2], 2)

	var all []crux.Member
	for _, h := range b.hosts {
		all = append(all, h.member)
	}
	b.members.Set(all[0].ID, all...)
	b.formed(clients, 3)
	there("its own keys, as it was admitted again", 1)
}
