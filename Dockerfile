# syntax=docker/dockerfile:1

FROM golang:1.26.8-alpine3.22 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o /contestd ./cmd/contestd

# Alpine, not scratch: an operator on `fly ssh console` needs a shell, ls, cp and tar.
FROM alpine:3.22
RUN apk add --no-cache ca-certificates su-exec tzdata \
    && addgroup -g 65532 contest && adduser -D -H -u 65532 -G contest contest \
    && mkdir -p /app /state \
    # The paths that the old server's runbooks name.
    && ln -s /state/data /app/data && ln -s /state/backups /app/backups && ln -s /state/uploads /app/uploads
COPY --from=build /contestd /usr/local/bin/contestd
COPY --chmod=755 cmd/contestd/entry.sh /usr/local/bin/entry
WORKDIR /app
ENV STATE_DIR=/state PORT=3000
EXPOSE 3000
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/entry"]
CMD ["contestd"]
