from tests.support.server import MaimServer
def test_up(server: MaimServer):
    with server.client() as c:
        assert c.get("/health").status_code == 200
    with server.client("internal") as c:
        assert c.get("/ready").json()["services"]["database"] == "healthy"
        assert c.post("/api/v2/tenants", json={"tenant_name":"企业 🤖","tenant_type":"enterprise"}).json()["success"]
        assert c.post("/api/v2/tenants", json={"tenant_name":"企业 😀","tenant_type":"enterprise"}).json()["success"]
        assert c.post("/api/v2/tenants", json={"tenant_name":"企业 🤖","tenant_type":"enterprise"}).status_code==409
