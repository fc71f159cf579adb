// lua SCRIPT [ARGUMENT...]: runs a script of Lua.
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdio.h>

int main(int argc, char **argv) {
	lua_State *l = luaL_newstate();
	if (!l || argc < 2) return 99;
	luaL_openlibs(l);
	lua_createtable(l, argc, 0);
	for (int i = 1; i < argc; i++) {
		lua_pushstring(l, argv[i]);
		lua_rawseti(l, -2, i - 1);
	}
	lua_setglobal(l, "arg");
	int err = luaL_dofile(l, argv[1]);
	if (err) fprintf(stderr, "%s\n", lua_tostring(l, -1));
	lua_close(l);
	return err;
}
