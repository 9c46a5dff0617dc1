#include "json.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char buffer[1 << 16];
static size_t used;
static int output = 1;
static int first = 1;
static int depth;

static void json_flush(void) {
    for (size_t done = 0; done < used;) {
        ssize_t count = write(output, buffer + done, used - done);
        if (count <= 0)
            break;
        done += (size_t)count;
    }
    used = 0;
}

void json_output(int fd) {
    output = fd;
}

static void put(const char *text, size_t length) {
    while (length) {
        if (used == sizeof buffer)
            json_flush();
        size_t part = sizeof buffer - used < length ? sizeof buffer - used : length;
        memcpy(buffer + used, text, part);
        used += part;
        text += part;
        length -= part;
    }
}

static void quote(const char *text) {
    put("\"", 1);
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        char escaped[8];
        if (c == '"' || c == '\\' || c < 0x20)
            put(escaped, (size_t)snprintf(escaped, sizeof escaped, "\\u%04x", c));
        else
            put(text, 1);
    }
    put("\"", 1);
}

static void begin(const char *key) {
    if (!first && depth)
        put(",", 1);
    first = 0;
    if (key) {
        quote(key);
        put(":", 1);
    }
}

void json_open(const char *key, char bracket) {
    begin(key);
    put(&bracket, 1);
    first = 1;
    depth++;
}

void json_close(char bracket) {
    put(&bracket, 1);
    first = 0;
    if (--depth == 0) {
        put("\n", 1);
        json_flush();
    }
}

void json_string(const char *key, const char *value) {
    begin(key);
    if (value)
        quote(value);
    else
        put("null", 4);
}

void json_number(const char *key, long long value) {
    char text[32];
    begin(key);
    put(text, (size_t)snprintf(text, sizeof text, "%lld", value));
}

void json_unsigned(const char *key, unsigned long long value) {
    char text[32];
    begin(key);
    put(text, (size_t)snprintf(text, sizeof text, "%llu", value));
}

void json_hex(const char *key, unsigned long long value) {
    char text[32];
    snprintf(text, sizeof text, "%016llx", value);
    json_string(key, text);
}

void json_bool(const char *key, int value) {
    begin(key);
    put(value ? "true" : "false", value ? 4 : 5);
}
