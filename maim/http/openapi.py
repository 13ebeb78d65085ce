class ContractSchema: pass
