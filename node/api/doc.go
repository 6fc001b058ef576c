// Package api is a node over HTTP, for programs in other languages and for the
// page that it serves itself: docs/api.md shows it in use, and openapi.json,
// which it serves too, describes each route.
//
// It listens in two ways, and in each says who may:
//
//	Unix socket   whoever may open the file, which is its owner
//	127.0.0.1     whoever shows the token. Pages of other sites, and names that
//	              somebody has made to point at 127.0.0.1, are refused by the
//	              Host, Origin and Sec-Fetch-Site headers that browsers send
//
// The page has no token. It is opened by a link with a ticket that is good once,
// behind the # so that it is neither sent nor logged. The ticket buys a cookie
// (HttpOnly, SameSite=Strict) and a key, which the page keeps for its tab and
// shows with each request. Both are needed: browsers send cookies to every port
// of 127.0.0.1, the key to none but ours; and the cookie can't be read by scripts.
//
// Everything is bounded: headers, bodies, connections, streams, and how long each
// of them may do nothing.
package api
