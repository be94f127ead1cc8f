// PostGraphile 5 on the month tables, as an expert would set it up: plain lists and no DDL. Smart
// tags declare the relations, because the month tables have no foreign keys for them.
import { createServer } from "node:http";
import { grafserv } from "postgraphile/grafserv/node";
import { postgraphile } from "postgraphile";
import { PostGraphileAmberPreset } from "postgraphile/presets/amber";
import { makePgService } from "postgraphile/adaptors/pg";
import { jsonPgSmartTags } from "postgraphile/utils";
import pg from "pg";

const KEY = "organization_id, month";
const relation = (column, table, field, listField) =>
  `(${KEY}, ${column}) references ${table} (${KEY}, ${column})|@fieldName ${field}|@foreignFieldName ${listField}`;

const relations = jsonPgSmartTags({
  version: 1,
  config: {
    class: {
      member_month: {
        tags: {
          foreignKey: [
            relation("workspace_id", "workspace_month", "itsWorkspace", "members"),
            relation("user_id", "user_month", "account", "memberships"),
          ],
        },
      },
      project_month: {
        tags: {
          foreignKey: [relation("workspace_id", "workspace_month", "itsWorkspace", "projects")],
        },
      },
    },
  },
});

// The pool connects to the database that PGHOST, PGPORT, PGUSER and PGDATABASE name.
const pool = new pg.Pool({ max: 10 });
const service = postgraphile({
  extends: [PostGraphileAmberPreset],
  plugins: [relations],
  disablePlugins: ["PgIndexBehaviorsPlugin"],
  schema: { defaultBehavior: "-connection -resource:connection +list +resource:list -insert -update -delete" },
  pgServices: [makePgService({ pool, schemas: ["public"] })],
  grafserv: { graphqlPath: "/graphql", graphiql: false, watch: false },
  grafast: { explain: false },
});
await service.getSchema();
const server = createServer();
await service.createServ(grafserv).addTo(server);
server.listen(0, "127.0.0.1", () => console.log(`listening ${server.address().port}`));
process.on("SIGTERM", () => process.exit(0));
