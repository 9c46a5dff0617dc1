/* JSON to one descriptor, each outermost value on a line of its own, through a buffer, without allocation.
 * Bytes above 0x7f are written as they are. */
#ifndef JSON_H
#define JSON_H

void json_output(int fd);
void json_open(const char *key, char bracket); /* key NULL inside an array; '{' or '[' */
void json_close(char bracket);
void json_string(const char *key, const char *value); /* NULL: null */
void json_number(const char *key, long long value);
void json_unsigned(const char *key, unsigned long long value);
void json_hex(const char *key, unsigned long long value); /* "00000000a80425fb", as in /proc/PID/status */
void json_bool(const char *key, int value);

#endif
