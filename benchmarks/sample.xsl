<?xml version="1.0" encoding="UTF-8"?>
<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform" xmlns:d="urn:omsbus:bench:death:1"
    exclude-result-prefixes="d">
  <xsl:output method="xml" encoding="UTF-8" omit-xml-declaration="yes"/>
  <xsl:template match="/d:RegisterDeath">
    <fields>
      <id><xsl:value-of select="d:MessageId"/></id>
      <act_no><xsl:value-of select="d:Act/d:Number"/></act_no>
      <surname><xsl:value-of select="d:Person/d:Surname"/></surname>
      <given><xsl:value-of select="concat(d:Person/d:Given, ' ', d:Person/d:Patronymic)"/></given>
      <birth_date><xsl:value-of select="d:Person/d:Birth"/></birth_date>
      <death_date><xsl:value-of select="concat(d:Death/d:Date, 'T', d:Death/d:Time)"/></death_date>
      <place><xsl:value-of select="d:Death/d:Place"/></place>
      <cause><xsl:value-of select="concat(d:Death/d:Cause/@code, ' ', d:Death/d:Cause)"/></cause>
    </fields>
  </xsl:template>
</xsl:stylesheet>
