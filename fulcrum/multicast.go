package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/viper"

	"fulcrum.example/crux"
	"fulcrum.example/crux/rpc/fabric"
	"fulcrum.example/fulcrum/operator"
)

func newMulticast() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "multicast",
		Short: "Send messages to all nodes, and listen to them",
		Long: `Send messages to whoever listens to a topic on any node, and listen. A message
arrives once, within a few milliseconds; who listens later does not get it.`,
		Example: "  fulcrum multicast listen deploys\n  fulcrum multicast send deploys 'web is at 2.4'",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newMulticastSend(), newMulticastListen())
	return cmd
}

func newMulticastSend() *cobra.Command {
	cmd := &cobra.Command{
		Use:               "send TOPIC PAYLOAD|-",
		Short:             "Send a message to the listeners of a topic",
		Long:              "Send a message to the listeners of a topic on all nodes, and print its ID. With\n- the payload is read from standard input, 1 MiB at most.",
		Example:           "  fulcrum multicast send deploys 'web is at 2.4'\n  fulcrum multicast send routes - --compress < routes.json",
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: cobra.NoFileCompletions,
		PreRunE: func(cmd *cobra.Command, _ []string) error {
			_, err := sendOptions(cmd)
			return err
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := sendOptions(cmd)
			if err != nil {
				return err
			}
			return askFabric(cmd, func(ctx context.Context, c *operator.Fabric, _ *viper.Viper) error {
				payload, err := valueOrStdin(args[1], maxValue)
				if err != nil {
					return err
				}
				id, err := c.Send(ctx, args[0], payload, o)
				if err == nil {
					_, err = fmt.Fprintln(cmd.OutOrStdout(), id)
				}
				return err
			})
		},
	}
	f := cmd.Flags()
	f.Bool("loop", false, "listeners on this node get it too")
	f.Bool("record-route", false, "have each copy record the nodes that it comes through")
	f.Int("fanout", 1, "how many copies, over ways as different as can be; 8 at most")
	f.Int("ttl", 0, "how many hops at most, up to 65535; 0: no limit")
	f.StringSlice("only", nil, "to these `nodes` alone (repeat, or separate by commas)")
	f.Bool("compress", false, "compress the payload")
	_ = cmd.RegisterFlagCompletionFunc("only", completeNodes(1<<10))
	addNode(cmd)
	return cmd
}

// sendOptions reads the flags of send.
func sendOptions(cmd *cobra.Command) (o fabric.SendOptions, err error) {
	v, err := configure(cmd)
	if err != nil {
		return o, err
	}
	o = fabric.SendOptions{Loop: v.GetBool("loop"), RecordRoute: v.GetBool("record-route"), Compress: v.GetBool("compress"),
		Fanout: v.GetInt("fanout"), TTL: v.GetInt("ttl")}
	switch {
	case o.Fanout < 1:
		return o, crux.Errorf("send", crux.Invalid, "--fanout=%d: want 1 or more", o.Fanout)
	case o.TTL < 0:
		return o, crux.Errorf("send", crux.Invalid, "--ttl=%d: want 0 or more", o.TTL)
	}
	o.Only, err = parseNodes(v.GetStringSlice("only"))
	return o, err
}

func newMulticastListen() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "listen TOPIC...",
		Short: "Print the messages of topics as they arrive",
		Long: `Print the messages of topics as they arrive, each on a line with its origin and
topic, until it is interrupted or has printed --count of them. Line breaks and
the like are escaped. With -o json each line is an object, with the route if it
was recorded.`,
		Example:           "  fulcrum multicast listen deploys\n  fulcrum multicast listen deploys routes -o json --count 1",
		Args:              cobra.MinimumNArgs(1),
		PreRunE:           func(cmd *cobra.Command, _ []string) error { return notNegative(cmd, "count") },
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, topics []string) error {
			asJSON, err := wantJSON(cmd)
			if err != nil {
				return err
			}
			return withFabric(cmd, func(ctx context.Context, c *operator.Fabric, v *viper.Viper) error {
				return listenTo(ctx, cmd, c, topics, v.GetInt("count"), asJSON)
			})
		},
	}
	cmd.Flags().Int("count", 0, "end after so many messages; 0: go on")
	addNode(cmd)
	addOutput(cmd)
	return cmd
}

func listenTo(ctx context.Context, cmd *cobra.Command, c *operator.Fabric, topics []string, count int, asJSON bool) error {
	tellTrouble(cmd, c)
	s, err := c.Subscribe(ctx, topics...)
	if err != nil {
		return err
	}
	defer s.Close()
	fmt.Fprintln(cmd.ErrOrStderr(), "listening")
	n := 0
	for m, err := range s.Messages() {
		if err != nil {
			return err
		}
		if err := printMessage(cmd.OutOrStdout(), m, asJSON); err != nil {
			return err
		}
		if n++; n == count {
			return nil
		}
	}
	return nil
}

// message is a message as JSON has it.
type message struct {
	ID     fabric.MessageID `json:"id"`
	Topic  string           `json:"topic"`
	Text   *string          `json:"text,omitempty"` // a payload that is text
	Base64 string           `json:"base64,omitempty"`
	Route  []crux.NodeID    `json:"route,omitempty"`
	Gap    bool             `json:"gap,omitempty"` // messages before it may be missing
}

func printMessage(w io.Writer, m fabric.Message, asJSON bool) error {
	isText := utf8.Valid(m.Payload)
	text := string(m.Payload)
	if asJSON {
		out := message{ID: m.ID, Topic: m.Topic, Route: m.Route, Gap: m.Gap, Text: &text}
		if !isText {
			out.Text, out.Base64 = nil, base64.StdEncoding.EncodeToString(m.Payload)
		}
		return printJSONLine(w, out)
	}
	text = printable(text)
	if !isText {
		text = "base64:" + base64.StdEncoding.EncodeToString(m.Payload)
	}
	_, err := fmt.Fprintf(w, "%s %s %s\n", m.ID.Origin, printable(m.Topic), text)
	return err
}
